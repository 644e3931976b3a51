package franz_test

import (
	"testing"

	"go.uber.org/goleak"

	"weir/connectors/kafka/driver/drivertest"
	"weir/connectors/kafka/driver/franz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) { drivertest.Run(t, franz.New) }
