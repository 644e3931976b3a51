package sim

import (
	"os"
	"strconv"
	"testing"
	"testing/synctest"

	"weir/internal/racing"
)

const (
	queries     = 60
	misfortunes = 4
)

// run lives through one seed.
func run(t *testing.T, seed uint64, faults Faults, inOrder bool) (v Verdict, refused int) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWorld(seed, queries, faults)
		w.InOrder = inOrder
		w.Run(t.Context(), misfortunes)
		v, refused = w.Judge(), w.Log.Refused
	})
	return v, refused
}

// Whatever dies, freezes and wakes, each query gets one prediction, and the decision that belongs to it.
// WEIR_SIM_SEED repeats one seed.
func TestRecovery(t *testing.T) { recovers(t, false) }

// So it is where order is kept, and then the predictions of each key are in the order of its queries.
func TestRecoveryInOrder(t *testing.T) { recovers(t, true) }

func recovers(t *testing.T, inOrder bool) {
	first, count := uint64(1), uint64(1000)
	if racing.Enabled() {
		count = 100
	}
	if s := os.Getenv("WEIR_SIM_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, count = n, 1
	}
	refused := 0
	for seed := first; seed < first+count; seed++ {
		v, r := run(t, seed, Faults{}, inOrder)
		refused += r
		if !v.Clean() {
			t.Errorf("WEIR_SIM_SEED=%d: %v", seed, v)
		}
		if t.Failed() {
			return
		}
	}
	if count > 1 && refused == 0 {
		t.Error("no fence ever refused a write: the worlds are too kind")
	}
	t.Logf("%d seeds, %d writes refused by a fence", count, refused)
}

// A judge that finds nothing is worth nothing: each mutation of the recovery is found.
func TestMutationsAreFound(t *testing.T) {
	for name, faults := range map[string]Faults{
		"no markers": {NoMarkers: true}, "trusting take-over": {TrustSelf: true}, "no scan": {ScanNothing: true}, "early commit": {CommitEarly: true},
		"no order": {NoOrder: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 1000; seed++ {
				if v, _ := run(t, seed, faults, faults.NoOrder); !v.Clean() {
					t.Logf("found by seed %d: %v", seed, v)
					return
				}
			}
			t.Error("1000 seeds did not find it")
		})
	}
}
