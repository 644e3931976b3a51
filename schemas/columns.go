package schemas

import "strings"

// Weir's own columns. Their names begin with an underscore, which a user's schema may not use. A row's
// identity is (Partition, Offset, Row): its place in the queries topic, carried through every cut.
const (
	// Partition of the queries topic that the row came from: int32.
	Partition = "_partition"
	// Offset of the row's record in that partition: int64.
	Offset = "_offset"
	// Row within that record, from 0: int32.
	Row = "_row"
	// QueryID is the user's id, or topic/partition/offset/row where they gave none: string.
	QueryID = "_query_id"
	// Key is the user or entity, the Kafka key where the query named none: binary, null without one.
	Key = "_key"
	// Stamp is when the broker (or, on older topics, the producer) stamped the record: timestamp[us, UTC].
	Stamp = "_stamp"
	// Deadline is the hard deadline: timestamp[us, UTC], null without one.
	Deadline = "_deadline"
	// EventTime is the user's own time: timestamp[us, UTC], null without one.
	EventTime = "_event_time"
	// StatusColumn holds a Status: uint8. It is 0 (Open) until a stage or deliver ends the row.
	StatusColumn = "_status"
	// ReasonCode, ReasonColumn and ReasonMessage say why a row was not simply answered: string, null
	// where there is nothing to say.
	ReasonCode    = "_reason_code"
	ReasonColumn  = "_reason_column"
	ReasonMessage = "_reason_message"
	// Raw holds the original bytes of a record that could not be decoded, for the dead topic: binary,
	// null for all other rows.
	Raw = "_raw"

	// Label, Scores, Confidence, Model and ModelVersion are the answer so far: that of the last model
	// that ran. Label is a string where the model has labels, else int32; Scores a fixed-size list of
	// float32; Confidence the largest score, float32; Model and ModelVersion strings. All are null for
	// rows that no model has answered yet.
	Label        = "_label"
	Scores       = "_scores"
	Confidence   = "_confidence"
	Model        = "_model"
	ModelVersion = "_model_version"

	// Late says that the answer left after stamp + objective: bool. Total is the time from the stamp
	// until then in microseconds: int64. Deliver adds both, and Epoch, when a row ends.
	Late  = "_late"
	Total = "_total_us"
	// Epoch is that of the writer whose prediction the user got: int32. A decision counts only if its epoch
	// is its prediction's.
	Epoch = "_epoch"
)

// Families of columns, one member for each stage, gate or carried header.
const (
	// RanPrefix + STAGE + one of the suffixes below: what a predict stage did to each row; null where
	// it did not run.
	RanPrefix = "_ran."
	// GatePrefix + GATE + one of the suffixes below: what a gate decided; null where it was not asked.
	GatePrefix = "_gate."
	// HeaderPrefix + NAME: a Kafka header carried from the query to the prediction: binary, may be null.
	HeaderPrefix = "_header."
)

// Suffixes of the Ran family: model and version (string), label (as Label), scores (as Scores), the wait
// for a device and the run on it in microseconds (int64), and the rows of the device batch (int32).
const (
	RanModel   = ".model"
	RanVersion = ".version"
	RanLabel   = ".label"
	RanScores  = ".scores"
	RanWait    = ".wait_us"
	RanRun     = ".run_us"
	RanBatch   = ".batch"
)

// Suffixes of the Gate family: score and threshold (float32) and the threshold's version (string).
const (
	GateScore   = ".score"
	GateAtLeast = ".at_least"
	GateVersion = ".version"
)

// Ran is the name of a predict stage's column, e.g. Ran("light", RanModel).
func Ran(stage, suffix string) string { return RanPrefix + stage + suffix }

// Gate is the name of a gate's column, e.g. Gate("first", GateScore).
func Gate(gate, suffix string) string { return GatePrefix + gate + suffix }

// HeaderColumn is the name of a carried Kafka header's column.
func HeaderColumn(name string) string { return HeaderPrefix + name }

// Reserved says that a column name is Weir's own and may not stand in a user's schema.
func Reserved(name string) bool { return strings.HasPrefix(name, "_") }

// Status of a row. Open rows go on to the next stage, all others are final.
type Status uint8

// The statuses of a row.
const (
	Open      Status = iota // not final: the next stage sees it
	Answered                // a model's answer, sure enough
	Degraded                // the deadline or the capacity ran out: the last model's answer so far
	Defaulted               // unsure, or no arm was allowed: the pipeline's default
	Expired                 // the deadline ran out before any model answered
	Rejected                // the query itself is bad
	Failed                  // a model or a stage failed, after its retry
)

var statusNames = [...]string{"open", "answered", "degraded", "defaulted", "expired", "rejected", "failed"}

// String is the status as users see it.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "invalid"
}

// ParseStatus is the inverse of String.
func ParseStatus(name string) (Status, bool) {
	for i, n := range statusNames {
		if n == name {
			return Status(i), true
		}
	}
	return 0, false
}

// Final says that no further stage sees the row.
func (s Status) Final() bool { return s != Open }

// The closed list of reason codes. The message beside a code is for people, the code for programs.
const (
	Undecodable      = "undecodable"
	MissingColumn    = "missing_column"
	WrongType        = "wrong_type"
	WrongLength      = "wrong_length"
	NotANumber       = "not_a_number"
	DuplicateQueryID = "duplicate_query_id"
	TooLarge         = "too_large"
	DeadlineReason   = "deadline"
	ModelFailed      = "model_failed"
	ModelRows        = "model_rows"
	StageFailed      = "stage_failed"
	Unsure           = "unsure"
	NoModel          = "no_model"
)
