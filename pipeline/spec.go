package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml/ast"

	"weir/schemas"
)

// A Kind is a kind of stage that a spec may name, and how one is built from its options.
type Kind struct {
	Name  string
	Build func(Node) (Stage, error)
}

// Spec is a pipeline as its YAML file describes it, checked and with every stage built.
type Spec struct {
	// File is the spec's path as given, Dir the folder that holds it: paths in a spec are relative to Dir
	// and stand here resolved.
	File, Dir string
	Pipeline  string
	// Objective is soft: a later answer is marked late. Deadline is hard: a later query ends expired or
	// degraded; 0 means none.
	Objective, Deadline time.Duration

	Schema schemas.Schema
	// Unknown says what becomes of a query's column that Schema lacks; Schema.RejectUnknown is set by it.
	Unknown Unknown
	// Models by name; ModelNames in the order of the spec.
	Models     map[string]ModelSpec
	ModelNames []string
	// Labels is the path of the file that names the classes of every model without Labels of its own, ""
	// without one.
	Labels string

	Segments []SegmentSpec
	Layout   Layout
	Default  DefaultSpec
	Topics   TopicsSpec
	Limits   Limits

	// Format of the predictions.
	Format Format
	// Delivery is what a crash may do to them.
	Delivery Delivered
	// Order is in which they are written.
	Order Order
	// Headers names the Kafka headers and Columns the columns that are carried into the prediction.
	Headers, Columns []string

	doc *document
}

// Unknown is what becomes of a query's column that the schema lacks.
type Unknown string

// An unknown column is ignored and counted, or the query is rejected.
const (
	Ignore Unknown = "ignore"
	Reject Unknown = "reject"
)

// Delivered is what a crash, or a process that was frozen, may do to predictions.
type Delivered string

// With ExactlyOnceEffect, the default, each query gets one prediction. It takes a broker that gives out
// producer identities, and 20 to 40 ms more when a partition moves. With AtLeastOnce a query may get several.
const (
	ExactlyOnceEffect Delivered = "exactly_once_effect"
	AtLeastOnce       Delivered = "at_least_once"
)

// Order is that of the predictions of a partition.
type Order string

// With NoOrder, the default, an easy query does not wait for a hard one. With ByKey the predictions of one key
// are written in the order of its queries, and wait for each other; other keys do not wait.
const (
	NoOrder Order = "none"
	ByKey   Order = "key"
)

// Format of a topic's records.
type Format string

// JSON has one record a query, Arrow one a batch.
const (
	JSON  Format = "json"
	Arrow Format = "arrow"
)

// ModelSpec is one of a spec's models.
type ModelSpec struct {
	Name    string
	Runtime string
	Path    string // resolved
	// Inputs names the column of each model input: of all of them, or of none, and then each takes the column
	// of its own name.
	Inputs map[string]string
	// Scores is the zero value for a model that is no classifier.
	Scores ScoresSpec
	// Outputs names the model output of each column that the model adds.
	Outputs map[string]string
	// Labels is the path of the file that names its classes, resolved, Spec.Labels where the model has none
	// of its own, "" where the index is the label.
	Labels string
	// Instances is how many copies of the model run side by side, Threads how many threads each uses.
	Instances, Threads int
	Pos                Pos
}

// ScoresSpec says which output of a model scores the classes, and how its numbers become scores: softmax,
// sigmoid or none.
type ScoresSpec struct {
	Output, Apply string
}

// SegmentSpec is a part of the pipeline that runs from a topic to a topic.
type SegmentSpec struct {
	Name   string
	Stages []NamedStage
	Pos    Pos
}

// NamedStage is a stage with its identity: the name that its state, metrics and columns go by.
type NamedStage struct {
	Name  string
	Kind  string
	Stage Stage
	// RenamedFrom is an earlier name whose state the stage takes over, "" without one.
	RenamedFrom string
	// Pos is the stage's place in the spec.
	Pos Pos

	options ast.Node // as the spec spells them
}

// DefaultSpec is the answer to a query about which the pipeline is unsure.
type DefaultSpec struct {
	// Label is a string where the models have labels, an int32 where they have none, nil where the spec
	// gives no default.
	Label any
}

// Limits bound what the pipeline takes.
type Limits struct {
	// Query is the size of a query's record in bytes, above which it is rejected. Default 1 MiB.
	Query int64
}

// Load reads the spec in a file, checks it and builds every stage. All faults of the file are reported
// together, in a *SpecError.
func Load(file string, kinds ...Kind) (*Spec, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("pipeline: read the spec: %w; give the path of a pipeline's YAML file", err)
	}
	return Parse(file, data, kinds...)
}

// Parse is Load of a text that is at hand already; file is its name in messages, and its folder is what
// paths in the spec are relative to.
func Parse(file string, data []byte, kinds ...Kind) (*Spec, error) {
	doc := parseDocument(file, data)
	s := &Spec{File: file, Dir: filepath.Dir(file), doc: doc}
	doc.spec = s
	if doc.body != nil {
		s.read(Node{doc: doc, value: doc.body, pos: doc.nodePos(doc.body)}, kinds)
		doc.unread()
	}
	if err := newSpecError(doc.faults); err != nil {
		return nil, err
	}
	return s, nil
}

// At is the place of a value by the keys that lead to it, e.g. At("models", "light", "path"), or of the
// nearest map above it that is there.
func (s *Spec) At(path ...string) Pos {
	if s.doc == nil {
		return Pos{File: s.File}
	}
	n := Node{doc: s.doc, value: s.doc.body, pos: s.doc.nodePos(s.doc.body)}
	for _, key := range path {
		if m, ok := n.value.(*ast.MappingNode); !ok || !has(m, key) {
			break
		}
		n = n.peek(key)
	}
	return n.pos
}

// Errorf is an error that begins with a place in the spec. It wraps what %w names.
func (s *Spec) Errorf(pos Pos, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return Fault{Pos: pos, Message: err.Error(), cause: err}
}
