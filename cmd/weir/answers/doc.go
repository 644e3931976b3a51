// Package answers reads what a pipeline said of its queries: the records of its predictions and decisions topics,
// row by row, and whether two of them say the same. Numbers count as the same up to Tolerance.
package answers
