package kafka

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"weir/connectors/kafka/driver"
)

// protocolName is what members of a group agree on. A broker refuses a member that offers another name than
// the group's, which is how two different specs are kept apart.
const protocolName = "weir"

// A sticky balancer gives each member as many partitions as any other, give or take one, and leaves every
// partition where it is as long as that holds. It implements driver.Balancer.
//
// Every member says with its user data what it owned, and in which generation. A member that missed a
// generation does not know that its partitions have moved on: the claim of the newest generation wins.
type sticky struct {
	digest string
	// claim is what this member owned last.
	claim func() claim
}

var _ driver.Balancer = sticky{}

// A claim is the partitions that a member owned in a generation.
type claim struct {
	generation int32
	partitions []int32
}

// Protocol implements driver.Balancer.
func (s sticky) Protocol() string {
	if s.digest == "" {
		return protocolName
	}
	return protocolName + "." + s.digest
}

// UserData implements driver.Balancer.
func (s sticky) UserData() []byte { return s.claim().encode() }

// Assign implements driver.Balancer. Its result depends on nothing but the sets that it is given.
func (s sticky) Assign(members []driver.Member, partitions []int32) map[string][]int32 {
	owned := keep(members, partitions)
	var free []int32
	taken := map[int32]bool{}
	for _, ps := range owned {
		for _, p := range ps {
			taken[p] = true
		}
	}
	for _, p := range partitions {
		if !taken[p] {
			free = append(free, p)
		}
	}
	out := map[string][]int32{}
	for _, q := range quotas(owned, len(partitions)) {
		n := q.size - len(owned[q.member])
		out[q.member] = append(owned[q.member], free[:n]...)
		free = free[n:]
	}
	return out
}

// keep says which partitions each member may keep.
func keep(members []driver.Member, partitions []int32) map[string][]int32 {
	type holder struct {
		member     string
		generation int32
	}
	holders := map[int32]holder{}
	owned := map[string][]int32{}
	for _, m := range members {
		owned[m.ID] = nil
		c, err := decodeClaim(m.UserData)
		if err != nil {
			continue // it claims nothing that we understand
		}
		for _, p := range c.partitions {
			h, ok := holders[p]
			// Two claims of one generation are a fault of their leader; any rule will do that all keep to.
			if !ok || cmp.Or(cmp.Compare(c.generation, h.generation), cmp.Compare(h.member, m.ID)) > 0 {
				holders[p] = holder{m.ID, c.generation}
			}
		}
	}
	for _, p := range partitions {
		if h, ok := holders[p]; ok {
			owned[h.member] = append(owned[h.member], p)
		}
	}
	for _, q := range quotas(owned, len(partitions)) {
		owned[q.member] = owned[q.member][:min(q.size, len(owned[q.member]))]
	}
	return owned
}

type quota struct {
	member string
	size   int
}

// quotas shares n partitions among the members. What does not divide goes to those who own the most already.
func quotas(owned map[string][]int32, n int) []quota {
	members := slices.SortedFunc(maps.Keys(owned), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(owned[b]), len(owned[a])), cmp.Compare(a, b))
	})
	out := make([]quota, len(members))
	for i, m := range members {
		out[i] = quota{m, n / len(members)}
		if i < n%len(members) {
			out[i].size++
		}
	}
	return out
}

const claimVersion = 1

// encode gives a version byte, then the generation, the number of partitions and the partitions as varints.
func (c claim) encode() []byte {
	b := binary.AppendVarint([]byte{claimVersion}, int64(c.generation))
	b = binary.AppendUvarint(b, uint64(len(c.partitions)))
	for _, p := range c.partitions {
		b = binary.AppendUvarint(b, uint64(p))
	}
	return b
}

var errClaim = errors.New("kafka: not a claim of this version")

// decodeClaim is the inverse of encode.
func decodeClaim(b []byte) (c claim, err error) {
	if len(b) == 0 || b[0] != claimVersion {
		return claim{}, errClaim
	}
	g, n := binary.Varint(b[1:])
	if n <= 0 {
		return claim{}, errClaim
	}
	c.generation, b = int32(g), b[1+n:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return claim{}, errClaim
	}
	for b = b[n:]; count > 0; count-- {
		p, n := binary.Uvarint(b)
		if n <= 0 {
			return claim{}, errClaim
		}
		c.partitions, b = append(c.partitions, int32(p)), b[n:]
	}
	if len(b) > 0 {
		return claim{}, errClaim
	}
	return c, nil
}
