// Package gpu runs models and fills the devices that they run on.
//
//	Predict ─┐                ┌──► Runtime (one instance)
//	Predict ─┼──► queue ──► batches
//	Predict ─┘                └──► Runtime (another)
//
// A Runtime is a driver: it runs one loaded model and knows nothing of queues. A Model stands in front of
// one Runtime or of several instances of it and joins the rows of all concurrent callers into batches: an
// idle instance starts at once with whatever waits, and while all are busy rows gather, so that batches
// grow with the load and no timer is needed. Models loads, checks, measures and closes a set of them.
//
// A Model answers every row: with the model's output, as expired, or as failed with the row's own error. A
// row that makes the model fail takes no other row with it. The package retries a failed batch once and
// nothing else; it never drops a row, and it never changes a value: types are widened only where every
// value survives.
package gpu
