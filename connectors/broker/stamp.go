package broker

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// stamp gives every produced batch the time at which it came, as Kafka does for topics of log append time. The
// library ignores that setting of a topic. A query's budget begins with its record's stamp, and only the
// broker's clock is the same for all who publish.
func stamp(req kmsg.Request) (kmsg.Response, error, bool) {
	if produce, ok := req.(*kmsg.ProduceRequest); ok {
		now := time.Now().UnixMilli()
		for i := range produce.Topics {
			for j := range produce.Topics[i].Partitions {
				stampBatch(produce.Topics[i].Partitions[j].Records, now)
			}
		}
	}
	return nil, nil, false // the request goes on as any other
}

const batchHeader = 61

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stampBatch rewrites a batch's stamp and checksum. What is no sound batch stays as it is, for the broker to
// refuse: a new checksum over damaged bytes would hide the damage.
func stampBatch(b []byte, now int64) {
	be := binary.BigEndian
	if len(b) < batchHeader || b[16] != 2 || int(be.Uint32(b[8:]))+12 != len(b) || crc32.Checksum(b[21:], castagnoli) != be.Uint32(b[17:]) {
		return
	}
	// The attribute that says "log append time" cannot be set: the library would change the stamps once more
	// and leave the checksum. So records keep their distance from the first, which is nought for most.
	be.PutUint64(b[27:], uint64(now))
	be.PutUint64(b[35:], uint64(now))
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}
