//go:build cgo

package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// environment opens the library, once a process: the one piece of package state here, because ONNX Runtime
// itself has one environment a process, which serves all sessions.
var environment = sync.OnceValue(func() error {
	path, err := library()
	if err != nil {
		return err
	}
	ort.SetSharedLibraryPath(path)
	// Errors are returned, so the library need not write them to stderr as well.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("onnx: cannot use the library %s: %w; `make runtime` fetches one that fits, WEIR_ORT_LIB names another", path, err)
	}
	return nil
})

// library finds ONNX Runtime where scripts/onnxruntime leaves it: 1.32.0 from pip, 1.30.0 from npm.
func library() (string, error) {
	if path := os.Getenv("WEIR_ORT_LIB"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("onnx: WEIR_ORT_LIB: %w; set it to ONNX Runtime's shared library, or unset it and run `make runtime`", err)
		}
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("onnx: %w; set WEIR_ORT_LIB to ONNX Runtime's shared library", err)
	}
	name := "libonnxruntime.so"
	if runtime.GOOS == "darwin" {
		name = "libonnxruntime.dylib"
	}
	for _, version := range []string{"1.32.0", "1.30.0"} {
		path := filepath.Join(cache, "weir", "onnxruntime-"+version, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("onnx: ONNX Runtime's shared library is not installed: run `make runtime`, or set WEIR_ORT_LIB to it")
}
