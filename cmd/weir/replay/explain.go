package replay

import (
	"fmt"

	"weir/schemas"
)

// known is what is known of the candidate.
type known struct {
	models map[string]string
	specs  map[uint32]bool
}

// explain says why a replayed prediction differs from the recorded one, "" where nothing that is recorded
// accounts for it. ran are the versions of the models that the recorded one asked, by name, where a decision
// tells them.
func (k known) explain(recorded, replayed *prediction, ran map[string]string) (Cause, string) {
	if side := cut(recorded, replayed); side != "" {
		return Deadline, "the hard deadline cut the " + side + " one"
	}
	cause, why := passed(recorded, replayed)
	if cause == Threshold {
		return cause, why
	}
	if name, was := k.otherModel(recorded, ran); name != "" {
		return Version, fmt.Sprintf("model %s was %s, is %s", name, was, k.models[name])
	}
	if cause != "" {
		return cause, why
	}
	if tied(recorded, replayed) {
		return Rounding, "two labels score the same"
	}
	if code := recorded.Reason.Code; recorded.Status == schemas.Failed.String() && (code == schemas.ModelFailed || code == schemas.ModelRows) {
		return Failure, "a model failed: " + recorded.Reason.Message
	}
	if recorded.signed && !k.specs[recorded.version] {
		return Spec, "another spec answered"
	}
	return "", ""
}

// cut names the side that the hard deadline ended.
func cut(recorded, replayed *prediction) string {
	switch schemas.DeadlineReason {
	case recorded.Reason.Code:
		return "recorded"
	case replayed.Reason.Code:
		return "replayed"
	}
	return ""
}

// passed looks at the first gate that one of the two passed and the other did not: they parted there.
func passed(recorded, replayed *prediction) (Cause, string) {
	for i, was := range recorded.Gates {
		if i >= len(replayed.Gates) || replayed.Gates[i].Name != was.Name {
			break
		}
		is := replayed.Gates[i]
		if was.open() == is.open() {
			continue
		}
		// Against the new threshold the recorded score would have ended as the replayed one did.
		if (was.Score >= is.AtLeast) == is.open() {
			return Threshold, fmt.Sprintf("gate %s asked for %g, asks for %g; the score is %g", was.Name, was.AtLeast, is.AtLeast, is.Score)
		}
		if near(was.Score, is.Score) && was.AtLeast == is.AtLeast {
			return Rounding, fmt.Sprintf("gate %s asks for %g; the score was %g, is %g", was.Name, was.AtLeast, was.Score, is.Score)
		}
		break
	}
	return "", ""
}

// otherModel names a model that the recorded prediction asked in another version than the candidate has.
func (k known) otherModel(recorded *prediction, ran map[string]string) (name, was string) {
	differs := func(name, version string) bool {
		is, ok := k.models[name]
		return ok && version != "" && version != is
	}
	if differs(recorded.Model, recorded.ModelVersion) {
		return recorded.Model, recorded.ModelVersion
	}
	for name, version := range ran {
		if differs(name, version) {
			return name, version
		}
	}
	return "", ""
}

// tied says whether the two differ in their label alone, and the two best scores hardly.
func tied(recorded, replayed *prediction) bool {
	if difference(recorded, replayed) != Label || len(recorded.Scores) < 2 || !sameScores(recorded, replayed) {
		return false
	}
	var first, second float64
	for i, s := range recorded.Scores {
		switch {
		case i == 0 || s > first:
			first, second = s, first
		case i == 1 || s > second:
			second = s
		}
	}
	return near(first, second)
}
