package kafkago_test

import (
	"testing"

	"go.uber.org/goleak"

	"weir/connectors/kafka/driver/drivertest"
	"weir/connectors/kafka/driver/kafkago"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) { drivertest.Run(t, kafkago.New) }
