package inference

import "weir/pipeline"

// Kinds are the stages of this package for a spec:
//
//	predict: {model: NAME}
//
// A predict stage that a spec builds has no model yet: who runs the pipeline loads it and calls Bind. So a
// process that runs other segments, or only publishes queries, needs no model file.
func Kinds() []pipeline.Kind {
	return []pipeline.Kind{{Name: "predict", Build: build}}
}

func build(n pipeline.Node) (pipeline.Stage, error) {
	m := n.Need("model").Model()
	return &Predict{
		Name: n.Name(), ModelName: m.Name, Inputs: m.Inputs, Outputs: m.Outputs,
		Scores: Scores{Output: m.Scores.Output, Apply: Apply(m.Scores.Apply)},
	}, nil
}
