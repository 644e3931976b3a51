package kafka

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/connectors/kafka/driver"
)

// shareOut runs a balancer over members with claims.
func shareOut(claims map[string]claim, partitions int, shuffle *rand.Rand) map[string][]int {
	var members []driver.Member
	for id, c := range claims {
		members = append(members, driver.Member{ID: id, UserData: c.encode()})
	}
	var ps []int32
	for i := range partitions {
		ps = append(ps, int32(i))
	}
	shuffle.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	out := map[string][]int{}
	for m, own := range (sticky{}).Assign(members, ps) {
		out[m] = []int{}
		for _, p := range slices.Sorted(slices.Values(own)) {
			out[m] = append(out[m], int(p))
		}
	}
	return out
}

// Members come and go, some miss generations, and the number of partitions grows. Whatever happens, every
// partition has one owner, nobody has two more than anybody else, nothing moves that could have stayed, and the
// order in which a leader sees things does not matter.
func TestStickyBalancer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shuffle := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "shuffle"), 0))
		partitions := rapid.IntRange(0, 20).Draw(t, "partitions")
		claims := map[string]claim{"m0": {}}
		for generation := int32(1); generation < 12; generation++ {
			switch name := fmt.Sprintf("m%d", rapid.IntRange(0, 7).Draw(t, "member")); {
			case rapid.IntRange(0, 9).Draw(t, "grow") == 0:
				partitions += 3
			case len(claims) > 1 && rapid.Bool().Draw(t, "leave"):
				delete(claims, name)
			default:
				if _, ok := claims[name]; !ok {
					claims[name] = claim{}
				}
			}
			got := shareOut(claims, partitions, shuffle)
			if again := shareOut(claims, partitions, shuffle); !reflect.DeepEqual(got, again) {
				t.Fatalf("%v, and in another order %v", got, again)
			}
			checkShares(t, got, claims, partitions)
			asleep := fmt.Sprintf("m%d", rapid.IntRange(0, 7).Draw(t, "asleep")) // keeps its old claim
			for m, ps := range got {
				if m == asleep {
					continue
				}
				c := claim{generation: generation}
				for _, p := range ps {
					c.partitions = append(c.partitions, int32(p))
				}
				claims[m] = c
			}
		}
	})
}

func checkShares(t *rapid.T, got map[string][]int, claims map[string]claim, partitions int) {
	if members := slices.Sorted(maps.Keys(got)); !slices.Equal(members, slices.Sorted(maps.Keys(claims))) {
		t.Fatalf("members %v", members)
	}
	owner := map[int]string{}
	for m, ps := range got {
		if n, least := len(ps), partitions/len(got); n < least || n > least+1 {
			t.Fatalf("%s has %d of %d partitions, shared by %d", m, n, partitions, len(got))
		}
		for _, p := range ps {
			if owner[p] != "" {
				t.Fatalf("partition %d has two owners", p)
			}
			owner[p] = m
		}
	}
	if len(owner) != partitions {
		t.Fatalf("%d of %d partitions have an owner", len(owner), partitions)
	}
	// The rightful claims, and how many of them can be kept: of no member more than a fair share, and one more
	// for as many members as the division leaves over.
	newest := map[int]string{}
	for p := range partitions {
		best := int32(-1)
		for m, c := range claims {
			if slices.Contains(c.partitions, int32(p)) && c.generation > best {
				newest[p], best = m, c.generation
			}
		}
	}
	rightful, stayed := map[string]int{}, 0
	for p, m := range newest {
		rightful[m]++
		if owner[p] == m {
			stayed++
		}
	}
	could, over := 0, partitions%len(got)
	for _, n := range rightful {
		could += min(n, partitions/len(got))
		if n > partitions/len(got) && over > 0 {
			could++
			over--
		}
	}
	if stayed != could {
		t.Fatalf("%d partitions stayed where they were, %d could have", stayed, could)
	}
}

func TestNewestClaimWins(t *testing.T) {
	shuffle := rand.New(rand.NewPCG(1, 1))
	got := shareOut(map[string]claim{"slept": {3, []int32{0, 1}}, "new": {5, []int32{0, 1}}, "other": {5, []int32{2, 3}}}, 6, shuffle)
	if want := map[string][]int{"slept": {4, 5}, "new": {0, 1}, "other": {2, 3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What another program sent claims nothing, and does not disturb.
func TestClaims(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := claim{generation: rapid.Int32().Draw(t, "generation")}
		c.partitions = append(c.partitions, rapid.SliceOf(rapid.Int32Range(0, 1<<30)).Draw(t, "partitions")...)
		got, err := decodeClaim(c.encode())
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%+v came back as %+v, %v", c, got, err)
		}
		b := c.encode()
		if got, err := decodeClaim(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); err == nil {
			t.Fatalf("a claim that was cut off is %+v", got)
		}
		_, _ = decodeClaim(rapid.SliceOf(rapid.Byte()).Draw(t, "noise"))
	})
	got := (sticky{}).Assign([]driver.Member{{ID: "a", UserData: []byte{9}}, {ID: "b"}}, []int32{0})
	if len(got["a"])+len(got["b"]) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestProtocolName(t *testing.T) {
	if a, b := (sticky{digest: "1"}).Protocol(), (sticky{digest: "2"}).Protocol(); a == b || a == (sticky{}).Protocol() {
		t.Errorf("%s and %s", a, b)
	}
}
