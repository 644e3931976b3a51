// Package onnx runs ONNX models in this process, with ONNX Runtime.
//
//	gpu.Tensor (the caller's memory) ──► ONNX Runtime ──► gpu.Tensor (the caller's memory)
//
// Nothing is copied: inputs and outputs are handed over where they lie, pinned for one run. A model must
// leave its first dimension open, for the rows, and have fixed ones for the rest. Outputs that are not
// numbers (strings, maps) are left out of the signature.
//
// ONNX Runtime's shared library is not part of the program: WEIR_ORT_LIB names it, or it lies in the user's
// cache folder, where `make runtime` puts it. It is opened with the first model and stays for the life of
// the process; built without cgo the package only says so.
package onnx
