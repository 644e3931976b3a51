package pipeline

import (
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"weir/schemas"
)

const defaultObjective = 10 * time.Millisecond

// read fills the spec. What stages refer to is read before the stages, what refers to them after.
func (s *Spec) read(root Node, kinds []Kind) {
	s.Pipeline = readPipeline(root.Need("pipeline"))
	s.Objective = root.Get("objective").Duration(defaultObjective)
	if s.Objective == 0 {
		root.Get("objective").Errorf("must be longer than 0; the default is %s", defaultObjective)
	}
	s.Deadline = readDeadline(root.Get("deadline"))
	s.Unknown = Unknown(root.Get("unknown").OneOf(string(Ignore), string(Reject)))
	s.readSchema(root.Need("schema"))
	s.Labels = s.path(root.Get("labels"))
	s.readModels(root.Get("models"))
	s.readDefault(root.Get("default"))
	s.Limits.Query = readQueryLimit(root.Get("limits"))
	s.Delivery = Delivered(root.Get("delivery").OneOf(string(ExactlyOnceEffect), string(AtLeastOnce)))
	s.Order = Order(root.Get("order").OneOf(string(NoOrder), string(ByKey)))
	s.Format = Format(root.Get("format").OneOf(string(JSON), string(Arrow)))
	s.Headers = readHeaders(root.Get("headers"))

	s.readStages(root.Need("stages"), kinds)
	s.Columns = root.Get("columns").Columns()
	s.checkInputs(root.Get("models"))
	s.readLayout(root.Get("layout"))
	s.checkOrder(root.Get("order"))
	s.readTopics(root.Get("topics"))
	s.checkPartitions(root)
}

// A pipeline's name begins the names of its topics.
const topicLetters = "letters, digits, dots, dashes and underscores"

func readPipeline(n Node) string {
	name := n.String()
	legal := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)
	switch {
	case !legal.MatchString(name):
		n.Errorf("%q cannot begin the names of topics; use %s, a letter or digit first", clip(name), topicLetters)
	case len(name) > 150:
		n.Errorf("the name has %d letters; at most 150 fit into the names of topics", len(name))
	}
	return name
}

// readName reads the name of a segment, a stage or a model. Dots would make columns and topics ambiguous.
func (n Node) readName() string {
	name := n.String()
	if !legalName(name) {
		n.Errorf("%q is not a name; %s", clip(name), nameRule)
	}
	return name
}

const nameRule = "use up to 63 letters, digits, dashes and underscores, a letter or digit first"

func legalName(name string) bool {
	return regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$`).MatchString(name)
}

func readDeadline(n Node) time.Duration {
	if text, ok := n.text(); ok && text == "none" {
		return 0
	}
	d := n.Duration()
	if d == 0 {
		n.Errorf("must be longer than 0; `none` says that there is no deadline")
	}
	return d
}

func (s *Spec) readSchema(n Node) {
	entries := n.Entries()
	if n.IsMap() && len(entries) == 0 {
		n.Errorf("no columns; name each with its type, such as `pixels: fixed_list<uint8>[784]`")
	}
	columns := &s.doc.columns
	for _, e := range entries {
		faults := len(s.doc.faults)
		field := schemas.Field{Name: e.Key, Type: e.Value.columnType()}
		if len(s.doc.faults) > faults || !e.Value.Exists() {
			columns.broken = append(columns.broken, e.Key)
			field.Type = schemas.Type{Kind: schemas.Bool} // a stand-in: only the name is left to be checked
		} else {
			columns.add(field)
		}
		for _, err := range (schemas.Schema{Fields: []schemas.Field{field}}).Validate() {
			s.doc.fault(e.Pos, "schema: %s; rename the column", trim(err))
		}
		s.Schema.Fields = append(s.Schema.Fields, field)
	}
	s.Schema.RejectUnknown = s.Unknown == Reject
}

// columnType reads a type: its name, or a map that says more.
func (n Node) columnType() schemas.Type {
	if !n.IsMap() {
		return n.typeName()
	}
	t := n.Need("type").typeName()
	t.Null = n.Get("null").Bool()
	t.NaN = n.Get("nan").Bool()
	if t.NaN && t.Kind != 0 && !t.Kind.Float() {
		n.Get("nan").Errorf("a value of type %s is never NaN; only float32 and float64 can be", t)
	}
	return t
}

func (n Node) typeName() schemas.Type {
	t, err := schemas.ParseType(n.String())
	if err != nil {
		n.Errorf("%s", trim(err))
	}
	return t
}

func trim(err error) string { return strings.TrimPrefix(err.Error(), "schemas: ") }

// path reads a path and resolves it against the spec's folder.
func (s *Spec) path(n Node) string {
	path := n.String()
	switch {
	case !n.Exists():
		return ""
	case path == "":
		n.Errorf("an empty path; give one, relative to the spec's folder")
		return ""
	case filepath.IsAbs(path):
		return path
	}
	return filepath.Join(s.Dir, path)
}

const (
	defaultQueryLimit = 1 << 20
	minQueryLimit     = 1 << 10
	maxQueryLimit     = 512 << 20
)

func readQueryLimit(n Node) int64 {
	query := n.Get("query")
	limit := query.Bytes(defaultQueryLimit)
	if limit < minQueryLimit || limit > maxQueryLimit {
		query.Errorf("%d bytes is out of range; from 1KiB to 512MiB", limit)
	}
	return limit
}

func readHeaders(n Node) []string {
	return n.distinct("a list of headers", func(item Node, name string) {
		switch {
		case name == "":
			item.Errorf("an empty name; remove it")
		case strings.EqualFold(name, "content-type"):
			item.Errorf("content-type cannot be carried: a prediction has its own; remove it")
		}
	})
}
