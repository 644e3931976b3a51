package schemas

import (
	"time"

	"github.com/apache/arrow/go/v17/arrow"
)

// Header is one Kafka header.
type Header struct {
	Key   string
	Value []byte
}

// Record is one consumed Kafka record. A nil Value is a null record.
type Record struct {
	Partition  int32
	Offset     int64
	Time       time.Time
	Key, Value []byte
	Headers    []Header
}

// Message is one record to publish, made of the rows Row to Row+Rows of the encoded batch.
type Message struct {
	Key, Value []byte
	Headers    []Header
	Row, Rows  int
}

// A Decoder collects records and turns them into one batch. It is used from one goroutine at a time.
type Decoder interface {
	// Append decodes r and keeps nothing of it. It never fails: what cannot be decoded becomes a
	// rejected row.
	Append(r Record)
	// Rows and Bytes tell how many rows, and bytes of record values, wait for Flush.
	Rows() int
	Bytes() int
	// Flush returns what was appended since the last Flush, nil without rows. The caller owns the batch.
	Flush() arrow.Record
}

// An Encoder turns a batch into messages. It borrows the batch until Encode returns; the messages share no
// memory with it. It is safe for concurrent use.
type Encoder interface {
	Encode(arrow.Record) ([]Message, error)
}

// The content types of query, prediction and decision records, in the header named ContentType.
const (
	ContentType = "content-type"
	JSON        = "application/json"
	NDJSON      = "application/x-ndjson"
	ArrowStream = "application/vnd.apache.arrow.stream"
)
