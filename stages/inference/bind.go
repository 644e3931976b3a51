package inference

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weir/gpu"
	"weir/schemas"
)

// Bind gives the stage its model and the names of the classes in the order of the scores (none: the index is
// the label), and checks that they fit as far as the model's signature tells. Types and lengths of the
// columns are checked by the first batch, which may have zero rows. Bind is called once, before Process. The
// error lists every misfit.
func (p *Predict) Bind(m Model, labels []string) error {
	sig := m.Signature()
	p.model, p.labels, p.ran = m, labels, namesOf(p.Name)
	p.name, p.version = new(schemas.Repeated[string]), new(schemas.Repeated[string])
	err := errors.Join(p.bindInputs(sig), p.bindScores(sig), p.bindOutputs(sig))
	if err != nil {
		return fmt.Errorf("predict %s: %w", p.Name, err)
	}
	return nil
}

func (p *Predict) bindInputs(sig gpu.Signature) error {
	var errs []error
	names := portNames(sig.Inputs)
	for _, input := range slices.Sorted(maps.Keys(p.Inputs)) {
		if !slices.Contains(names, input) {
			errs = append(errs, fmt.Errorf("the model has no input %q; its inputs: %s", input, strings.Join(names, ", ")))
		}
	}
	p.ports = nil
	for _, in := range sig.Inputs {
		column, ok := p.Inputs[in.Name]
		switch {
		case len(p.Inputs) == 0:
			column = in.Name
		case !ok:
			errs = append(errs, fmt.Errorf("the model's input %q is not listed; name a column for each input, or for none", in.Name))
		}
		p.ports = append(p.ports, port{in, column})
	}
	return errors.Join(errs...)
}

func (p *Predict) bindScores(sig gpu.Signature) error {
	p.scores = -1
	if p.Scores.Output == "" {
		return nil
	}
	p.scores = slices.IndexFunc(sig.Outputs, func(o gpu.Port) bool { return o.Name == p.Scores.Output })
	if p.scores < 0 {
		return noOutput(sig, p.Scores.Output)
	}
	out := sig.Outputs[p.scores]
	if out.Type != gpu.Float32 && out.Type != gpu.Float64 {
		return fmt.Errorf("scores output %q holds %s; scores are float32 or float64", out.Name, out.Type)
	}
	if n := p.classes(); len(p.labels) > 0 && len(p.labels) != n {
		return fmt.Errorf("%d labels for %d scores of output %q", len(p.labels), n, out.Name)
	}
	return nil
}

func (p *Predict) bindOutputs(sig gpu.Signature) error {
	var errs []error
	p.extra = nil
	for _, column := range slices.Sorted(maps.Keys(p.Outputs)) {
		i := slices.IndexFunc(sig.Outputs, func(o gpu.Port) bool { return o.Name == p.Outputs[column] })
		switch {
		case schemas.Reserved(column):
			errs = append(errs, fmt.Errorf("output column %q: names with a leading underscore are Weir's own", column))
		case i < 0:
			errs = append(errs, noOutput(sig, p.Outputs[column]))
		case sig.Outputs[i].Type == gpu.Bool:
			errs = append(errs, fmt.Errorf("output %q holds booleans, which cannot become a column; cast them in the model", p.Outputs[column]))
		default:
			p.extra = append(p.extra, extraPort{sig.Outputs[i], column, i})
		}
	}
	return errors.Join(errs...)
}

// classes is the number of scores a row: two for a model with one output, the probability of the second.
func (p *Predict) classes() int {
	n := elements(p.model.Signature().Outputs[p.scores].Shape)
	if n == 1 {
		return 2
	}
	return n
}

func noOutput(sig gpu.Signature, name string) error {
	return fmt.Errorf("the model has no output %q; its outputs: %s", name, strings.Join(portNames(sig.Outputs), ", "))
}

func portNames(ports []gpu.Port) []string {
	var names []string
	for _, p := range ports {
		names = append(names, p.Name)
	}
	return names
}
