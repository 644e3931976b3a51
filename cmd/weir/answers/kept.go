package answers

import (
	"context"
	"time"

	"weir/connectors/kafka"
	"weir/schemas"
)

// Kept is the offset of the first query of a partition whose prediction cannot have been deleted: one as young
// as the first prediction that is left. first and end are the bounds of the predictions' partition.
func Kept(ctx context.Context, client *kafka.Client, queries, predictions string, partition int32, first, end int64) (int64, error) {
	from := kafka.Latest
	if stamp, ok, err := StampOf(ctx, client, predictions, partition, first, end); err != nil {
		return 0, err
	} else if ok {
		from = kafka.At(stamp)
	}
	at, err := client.Offsets(ctx, queries, from)
	if err != nil {
		return 0, err
	}
	return at[partition], nil
}

// StampOf is the stamp of the first record of a partition that lies between two offsets, and false where none does.
func StampOf(ctx context.Context, client *kafka.Client, topic string, partition int32, from, end int64) (stamp time.Time, ok bool, err error) {
	r := client.Reader(topic, partition, from, end)
	for more := true; more && !ok && err == nil; {
		more, err = r.Next(ctx, func(rec *schemas.Record) error {
			if !ok {
				stamp, ok = rec.Time, true
			}
			return nil
		})
	}
	return stamp, ok, err
}
