package driver_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"weir/connectors/kafka/driver"
)

// What kafka-go holds for temporary is sent again, and two codes more: a broker that another one is asked for, and
// a replica, may come back.
func TestRetriable(t *testing.T) {
	for c := int16(-1); c < 200; c++ {
		want := c == 0 || kafkago.Error(c).Temporary() || c == 8 || c == 9
		err := driver.CodeError(c)
		if got := driver.Retriable(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("code %d (%v): retriable %v, want %v", c, err, got, want)
		}
	}
	if !driver.Retriable(io.EOF) {
		t.Error("a network error is not retriable")
	}
}

func TestCodeError(t *testing.T) {
	if err := driver.CodeError(0); err != nil {
		t.Errorf("code 0: %v", err)
	}
	for c, want := range map[int16]string{
		47: "INVALID_PRODUCER_EPOCH", -1: "UNKNOWN_SERVER_ERROR", 9999: "the broker's error 9999",
	} {
		if got := driver.CodeError(c).Error(); !strings.HasPrefix(got, want) || strings.HasSuffix(got, ".") {
			t.Errorf("code %d: %q, want %q…", c, got, want)
		}
	}
}
