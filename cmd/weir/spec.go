package main

import "weir/pipeline"

// clientSpec loads a spec for those who only use a pipeline: its topics and schema are needed then, its
// models' files are not even opened.
func clientSpec(file string) (*pipeline.Spec, error) {
	return pipeline.Load(file, kinds()...)
}
