package kafka

import "weir/schemas"

// OriginVersion is the Fence.Version of who wrote a record, and false where the record does not tell.
func OriginVersion(r *schemas.Record) (uint32, bool) {
	for _, h := range r.Headers {
		if h.Key == OriginHeader {
			version, _, err := versionOf(h.Value)
			return version, err == nil
		}
	}
	return 0, false
}
