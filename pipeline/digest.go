package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Digest is 12 hex digits that differ where two processes would answer differently: the schema, the unit's
// stages and their models' versions, where the pipeline is cut, its partitions, and the predictions' order. The
// objective, limits and the spec's looks are no part of it: processes that differ in those may share a group.
// versions are those of the unit's models, labels included.
func (s *Spec) Digest(u Unit, versions map[string]string) (string, error) {
	type model struct {
		Version string
		Inputs  map[string]string
		Scores  ScoresSpec
		Outputs map[string]string
	}
	models := map[string]model{}
	for name, version := range versions {
		m := s.Models[name]
		models[name] = model{version, m.Inputs, m.Scores, m.Outputs}
	}
	var stages []any
	for _, seg := range u.Segments {
		for _, st := range seg.Stages {
			stages = append(stages, []any{st.Kind, st.Name, value(st.options)})
		}
	}
	parts := []any{
		s.Pipeline, s.Schema, s.Deadline, s.Default, stages, models, u.In, u.Next, u.Spread, u.NextSpread,
		s.Topics.Partitions, s.Headers, s.Columns, s.Format,
	}
	if s.Order == ByKey {
		parts = append(parts, s.Order) // a process without order would break what the others keep
	}
	text, err := json.Marshal(parts)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6]), nil
}

// value is a node as plain maps, lists and scalars; comments and spelling are gone.
func value(n ast.Node) any {
	var v any
	if n == nil || yaml.NodeToValue(n, &v) != nil {
		return nil
	}
	return v
}
