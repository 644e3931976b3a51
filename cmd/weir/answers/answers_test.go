package answers

import (
	"strings"
	"testing"
)

// Numbers may differ in their last digits, trace and late altogether, everything else is a contradiction.
func TestAlike(t *testing.T) {
	const value = `{"query_id":"q","status":"answered","late":false,"scores":[0.5,0.25],"gates":[{"name":"g","score":0.5}],"trace":{"total_ms":1}}`
	for other, want := range map[string]bool{
		strings.Replace(value, "0.25", "0.2500001", 1):              true,
		strings.Replace(value, "0.25", "0.2501", 1):                 false,
		strings.Replace(value, "false", "true", 1):                  true,
		strings.Replace(value, `{"total_ms":1}`, `{}`, 1):           true,
		strings.Replace(value, `"g"`, `"h"`, 1):                     false,
		strings.Replace(value, `,0.25`, ``, 1):                      false,
		strings.Replace(value, `"answered"`, `"answered","a":1`, 1): false,
		strings.Replace(value, `"q"`, `null`, 1):                    false,
	} {
		a, err1 := Content([]byte(value))
		b, err2 := Content([]byte(other))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if Alike(a, b) != want || Alike(b, a) != want {
			t.Errorf("%s: alike %v, want %v", other, !want, want)
		}
	}
}
