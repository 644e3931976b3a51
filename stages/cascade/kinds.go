package cascade

import "weir/pipeline"

// Kinds are the stages of this package for a spec:
//
//	gate: {name: NAME, score: max_probability|margin|entropy, at_least: 0.92}
func Kinds() []pipeline.Kind {
	return []pipeline.Kind{{Name: "gate", Build: build}}
}

func build(n pipeline.Node) (pipeline.Stage, error) {
	return &Gate{
		Name:    n.Name(),
		Score:   Score(n.Get("score").OneOf(string(MaxProbability), string(Margin), string(Entropy))),
		AtLeast: float32(n.Need("at_least").FloatIn(0, 1)),
		Version: "spec",
		Last:    !n.Precedes("predict"),
		Default: n.Spec().Default.Label,
	}, nil
}

// Columns implements pipeline.Reader: a gate reads the scores alone.
func (g *Gate) Columns() []string { return []string{} }
