package sim

import (
	"testing"

	"pgregory.net/rapid"

	"weir/connectors/kafka/driver/drivertest"
)

// The simulated log fences as Kafka does, no earlier and no later: the drivers' suite holds Kafka to the same law.
func TestLogFencesAsKafka(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drivertest.Fences(t, drivertest.History().Draw(t, "history"), &logWriters{log: NewLog()}, false)
	})
}

// logWriters are writers of one name in the simulated log.
type logWriters struct {
	log    *Log
	epochs []int32
}

var twoTopics = [...]string{"p0", "p1"} // topics have one partition here

// Begin implements drivertest.Writers.
func (w *logWriters) Begin(mark bool) {
	epoch, _ := w.log.raise("w", 0)
	if mark {
		for _, topic := range twoTopics {
			_ = w.log.append(topic, "w", record{epoch: epoch, marker: true})
		}
		epoch, _ = w.log.raise("w", epoch)
	}
	w.epochs = append(w.epochs, epoch)
}

// Write implements drivertest.Writers.
func (w *logWriters) Write(writer, partition int) bool {
	return w.log.append(twoTopics[partition], "w", record{epoch: w.epochs[writer]}) == nil
}
