// Package ownership says which version of a pipeline runs, and lets one replace another.
//
//	weir run --replace ──► owner/<segment> ──► p.state ──► members of another version drain and leave
//	members ─────────────► unit/<segment> ───► p.state ──► a newcomer knows which topics to find empty
//
// A group refuses members of another version by itself, so two never share it. The topic adds whose turn it is, and
// which topics an earlier layout may have left rows in. A segment without an owner record belongs to whoever is in its
// group; with one, to that version alone, also while none of its members runs.
//
// It stops no process of another version that ignores the topic, and carries no rows from one topic to another.
package ownership
