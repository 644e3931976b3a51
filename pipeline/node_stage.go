package pipeline

import (
	"maps"
	"slices"

	"weir/schemas"
)

// columns are the user's columns that a stage may read: those of the schema and those that earlier stages
// added. broken are the names of columns whose type is at fault: they are no reason for a second fault.
type columns struct {
	fields []schemas.Field
	broken []string
}

// add adds a column, or replaces the one of its name.
func (c *columns) add(f schemas.Field) {
	for i, old := range c.fields {
		if old.Name == f.Name {
			c.fields[i] = f
			return
		}
	}
	c.fields = append(c.fields, f)
}

func (c *columns) names() []string {
	var names []string
	for _, f := range c.fields {
		names = append(names, f.Name)
	}
	return append(names, c.broken...)
}

// Name is the name of the stage that is built: its identity in state, metrics and columns.
func (n Node) Name() string {
	if n.stage == nil {
		return ""
	}
	return n.stage.name
}

// Precedes says whether a stage of the kind follows this one, in whatever segment.
func (n Node) Precedes(kind string) bool {
	return n.stage != nil && slices.Contains(n.stage.later, kind)
}

// Field is a column of the user's at this stage, by name: one of the schema or one that an earlier stage added.
func (n Node) Field(name string) (schemas.Field, bool) {
	for _, f := range n.doc.columns.fields {
		if f.Name == name {
			return f, true
		}
	}
	return schemas.Field{}, false
}

// Adds tells the stages that follow of a column that this one adds or replaces.
func (n Node) Adds(f schemas.Field) { n.doc.columns.add(f) }

// Column reads the name of a column that rows have at this stage.
func (n Node) Column() string {
	name := n.String()
	n.checkColumn(name)
	return name
}

// Columns reads a list of such names, each once; a single name is a list of one.
func (n Node) Columns() []string {
	return n.distinct("a list of columns", Node.checkColumn)
}

func (n Node) checkColumn(name string) {
	// Weir's own columns are made by stages; the empty batch that runs at the start finds a missing one.
	if known := n.doc.columns.names(); !schemas.Reserved(name) && !slices.Contains(known, name) {
		n.Errorf("unknown column %q; %s", clip(name), remedy(name, known))
	}
}

// Model reads the name of one of the spec's models, whose output columns the stages that follow may then
// read. The zero ModelSpec stands in for a model that is not there.
func (n Node) Model() ModelSpec {
	name := n.String()
	model, ok := n.Spec().Models[name]
	if !ok {
		n.Errorf("unknown model %q; %s", clip(name), remedy(name, n.Spec().ModelNames))
	}
	for _, column := range slices.Sorted(maps.Keys(model.Outputs)) {
		n.Adds(schemas.Field{Name: column}) // of what type, the model's file knows
	}
	return model
}
