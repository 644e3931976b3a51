package pipeline

import (
	"github.com/goccy/go-yaml/ast"

	"weir/schemas"
)

func (s *Spec) readModels(n Node) {
	s.Models = map[string]ModelSpec{}
	for _, e := range n.Entries() {
		if !legalName(e.Key) {
			s.doc.fault(e.Pos, "models: %q is not a name; %s", clip(e.Key), nameRule)
		}
		s.Models[e.Key] = s.readModel(e)
		s.ModelNames = append(s.ModelNames, e.Key)
	}
	s.checkLabels()
}

func (s *Spec) readModel(e Entry) ModelSpec {
	n := e.Value
	m := ModelSpec{
		Name:      e.Key,
		Pos:       e.Pos,
		Runtime:   n.Need("runtime").String(),
		Path:      s.path(n.Need("path")),
		Inputs:    n.Get("inputs").Map(),
		Outputs:   s.readOutputs(n.Get("outputs")),
		Labels:    s.path(n.Get("labels")),
		Instances: n.Get("instances").IntIn(1, 1024, 1),
		Threads:   n.Get("threads").IntIn(1, 1024, 1),
	}
	if scores := n.Get("scores"); scores.Exists() {
		m.Scores = ScoresSpec{scores.Need("output").String(), scores.Get("apply").OneOf("none", "softmax", "sigmoid")}
	}
	classifier := n.Get("scores").Exists()
	switch {
	case n.IsMap() && !classifier && !n.Get("outputs").Exists():
		n.Errorf("neither scores nor outputs; name `scores: {output: NAME}` of a classifier or `outputs: {COLUMN: NAME}`")
	case !classifier && m.Labels != "":
		n.Get("labels").Errorf("labels name scores, and the model has none; remove them or name `scores: {output: NAME}`")
	case classifier && m.Labels == "":
		m.Labels = s.Labels
	}
	return m
}

// readOutputs reads the columns that a model adds. They stand beside those of the queries.
func (s *Spec) readOutputs(n Node) map[string]string {
	for _, e := range n.Entries() {
		_, known := n.Field(e.Key)
		switch {
		case schemas.Reserved(e.Key):
			n.doc.fault(e.Pos, "%s: column %q: names that begin with _ are Weir's own; rename the column", n.path, e.Key)
		case known:
			n.doc.fault(e.Pos, "%s: column %q is one of the queries' own; rename the column", n.path, e.Key)
		}
	}
	return n.Map()
}

// checkLabels sees to it that all answers are of one type: texts where the models have labels, else numbers.
func (s *Spec) checkLabels() {
	with := ""
	for _, name := range s.ModelNames {
		if s.Models[name].Labels != "" {
			with = name
		}
	}
	for _, name := range s.ModelNames {
		if m := s.Models[name]; with != "" && m.Labels == "" && m.Scores.Output != "" {
			s.doc.fault(m.Pos, "models.%s has no labels and models.%s has: their answers would be of two types; give it `labels: PATH`", name, with)
		}
	}
}

func (s *Spec) readDefault(n Node) {
	if !n.Exists() {
		return
	}
	label := n.Need("label")
	if !label.Exists() {
		return
	}
	if s.indexLabels() {
		if _, ok := label.value.(*ast.IntegerNode); !ok {
			label.Errorf("want the number of a class, for the models have no labels; have %s", describe(label.value))
		}
		s.Default.Label = int32(label.IntIn(0, 1<<31-1))
		return
	}
	// Labels may look like numbers.
	if digits, ok := label.value.(*ast.IntegerNode); ok {
		s.Default.Label = digits.Token.Value
		return
	}
	s.Default.Label = label.String()
}

// indexLabels says that the models' answers are the indices of their classes.
func (s *Spec) indexLabels() bool {
	indices := false
	for _, m := range s.Models {
		if m.Labels != "" {
			return false
		}
		indices = indices || m.Scores.Output != ""
	}
	return indices && s.Labels == ""
}

// checkInputs looks for the models' inputs among the columns of the queries and those that stages add.
func (s *Spec) checkInputs(n Node) {
	if !n.IsMap() {
		return
	}
	for _, name := range s.ModelNames {
		model := n.Get(name)
		if !model.IsMap() || !model.Get("inputs").IsMap() {
			continue
		}
		for _, e := range model.Get("inputs").Entries() {
			e.Value.Column()
		}
	}
}
