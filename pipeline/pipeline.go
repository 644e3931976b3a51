package pipeline

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"
)

// A Stage maps a batch of rows to the same rows, in the same order, with columns added or replaced. A row
// that it ends gets a final status and a reason; the others stay open. Process borrows in and returns a
// record that the caller releases. It is called from many goroutines, keeps no state between calls, reads
// no clock and starts no goroutine that outlives it. Zero rows are legal and give the output's schema. An
// error means that the stage failed on the batch as a whole; deliver then tries halves.
type Stage interface {
	Process(ctx context.Context, in arrow.Record) (arrow.Record, error)
}

// Partition is one partition of a segment's input topic.
type Partition struct {
	Topic string
	ID    int32
	// Begin is the offset of the first record that the owner will be given.
	Begin int64
	// Mark is the metadata of its committed offset, as Owner.Mark returned it, nil without one.
	Mark []byte
	// End asks for the offset behind its last record. A Sink asks once it has fenced earlier writers: records from there
	// on they were not given. nil where the outputs know no earlier writers.
	End func(context.Context) (int64, error)
}

// A Source owns partitions for a while and opens an Owner for each; the context given to open ends with
// the ownership. Run returns nil once ctx ends and everything in hand is drained and committed.
type Source interface {
	Run(ctx context.Context, open func(context.Context, Partition) (Owner, error)) error
}

// An Owner processes one partition while it is owned.
type Owner interface {
	// Deliver processes a batch and returns nil once every row is durable in all outputs. Several deliveries
	// of a partition run at once. An error gives the partition back after the finished prefix is committed; a
	// Permanent error stops the process.
	Deliver(ctx context.Context, d Delivery) error
	// Mark is asked before the source commits next: output positions below which no row at or above next
	// was written, in at most 1 KB. nil says that nothing is known.
	Mark(next int64) []byte
	// Close is called once, after the last Deliver has returned.
	Close() error
}

// A Delivery is what waited in a partition.
type Delivery struct {
	// Rows are borrowed by Deliver.
	Rows arrow.Record
	// Next is the offset behind the last record, in the segment's input.
	Next int64
	// After is Next of the delivery before it in the partition, 0 for the first. In a segment in order a delivery
	// waits until that one has begun.
	After int64
	// Routed is called exactly once, as soon as the rows are durable in predictions and next: the delivery
	// then leaves the source's in-flight bound, while its decisions may linger.
	Routed func()
}

// A Sink is one output of a segment. Open fences all earlier writers of the partition, in all outputs of the segment,
// and reads what they wrote from position from on; nil is unknown.
type Sink interface {
	Open(ctx context.Context, p Partition, from Position) (Writer, error)
}

// A Writer stores the rows of one input partition. It may be used from many goroutines.
type Writer interface {
	// Done holds the rows that earlier writers stored from the opening position on.
	Done() RowSet
	// Write returns nil once every row is durable. It borrows b. It retries for as long as the broker
	// may come back and ctx lives. Rows that can never be stored are told by a *TooLargeError; all other
	// rows of b are durable then.
	Write(ctx context.Context, b arrow.Record) error
	// Epoch is that of the fence, which rises with every owner of the partition and differs between segments; 0
	// without one.
	Epoch() int32
	// Position is the next offset of each output partition, once everything written is durable.
	Position() Position
	Close() error
}

// An OrderedWriter can also store rows one behind the other.
type OrderedWriter interface {
	Writer
	// WriteInOrder is Write that stores nothing behind a row that can never be stored. It returns how many rows
	// of b, the first ones, are durable: all of them where the error is nil. After a *TooLargeError the row behind
	// them is the one that is too large; after another error more of them may be.
	WriteInOrder(ctx context.Context, b arrow.Record) (stored int, err error)
}

// Position is the next offset of each output partition of a Writer; -1 is unknown.
type Position []int64

// Unwritten stands for the position of an output that earlier owners did not have: the pipeline was cut at another
// place. Whatever still lies in it was answered since.
const Unwritten = -2

// A RowSet is a set of rows of one input partition.
type RowSet interface {
	Has(offset int64, row int32) bool
	// Epoch is that of the row's prediction, for a row that the set has; OtherVersion if an owner wrote it that
	// would answer differently, OtherSegment if it was another segment's.
	Epoch(offset int64, row int32) int32
}

// OtherVersion stands for the epoch of rows that this owner would not answer in the same way.
const OtherVersion = -1

// OtherSegment stands for the epoch of rows that another segment wrote. Where the pipeline was cut at another place
// before, that segment's answers are final for this one too, and their decisions are its own.
const OtherSegment = -2

// NoRows is the empty RowSet.
type NoRows struct{}

// Has implements RowSet.
func (NoRows) Has(int64, int32) bool { return false }

// Epoch implements RowSet.
func (NoRows) Epoch(int64, int32) int32 { return 0 }

// Outputs of a segment. Next is nil in the last segment; Dead and Decisions may be nil.
type Outputs struct {
	Predictions, Next, Dead, Decisions Sink
}

// A Reader is a stage that knows which of the user's columns it reads; nil is unknown. At a cut only the
// columns that later stages read travel on, if all of them are Readers that know.
type Reader interface {
	Columns() []string
}
