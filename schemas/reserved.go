package schemas

// The fields of a query that are no columns of the schema.
const (
	fieldQueryID = iota + 1
	fieldKey
	fieldTimeout
	fieldEventTime
)

// reservedField tells which reserved field of a query a name is, 0 if none.
func reservedField(name string) int {
	switch name {
	case "query_id":
		return fieldQueryID
	case "key":
		return fieldKey
	case "timeout_ms":
		return fieldTimeout
	case "event_time":
		return fieldEventTime
	}
	return 0
}
