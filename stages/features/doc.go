// Package features prepares columns for models: numbers in, numbers out, a row at a time.
//
// A stage here reads one column and adds or replaces one. Nulls stay null. It never looks at other rows,
// so a row's features do not depend on its neighbours.
package features
