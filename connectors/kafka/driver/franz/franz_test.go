package franz_test

import (
	"testing"

	"go.uber.org/goleak"

	"weir/connectors/kafka/driver/drivertest"
	"weir/connectors/kafka/driver/franz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The driver keeps its contract at the embedded broker, and at a real Kafka where WEIR_TEST_KAFKA names one.
func TestConformance(t *testing.T) { drivertest.Run(t, franz.New) }
