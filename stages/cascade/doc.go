// Package cascade decides which answers are good enough.
//
//	light ──► Gate ──► confident ──► answered
//	                └─► the rest ───► next model, or the pipeline's default after the last one
//
// A gate never calls a model and never drops a row. The idea: IDK Prediction Cascades (Wang et al., 2017).
package cascade
