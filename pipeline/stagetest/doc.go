// Package stagetest tests stages by text tables and by the three laws.
//
//	# Values outside the limits move to the nearest limit.
//	query_id  amount
//	1         -3
//	----
//	query_id  amount
//	1         0
//
// Run compares a stage with such a file: comments, an input table, four dashes, the expected output, a blank
// line, the next case. An error stands as "error: " and its text. With -rewrite the file gets what the stage
// gives now; read the diff. Laws checks on random batches that a stage keeps its rows, that each row's
// answer depends on that row alone, and that the same row always gets the same answer.
//
// Columns that only trace what happened (times of the run, the size of the device batch) are no part of an
// answer and are left out everywhere.
package stagetest
