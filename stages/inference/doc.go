// Package inference asks models.
//
//	columns ──► input tensors ──► Model ──► output tensors ──► scores, label, confidence
//	                                 └ rows whose deadline passed: degraded or expired
//	                                 └ rows that the model failed on: failed
//
// A stage here never forms device batches: that is the model's own business (package gpu), since only it
// sees the rows of all callers. Every row that a stage is given comes back, answered or ended.
package inference
