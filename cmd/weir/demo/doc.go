// Package demo runs a pipeline as its users would and measures what they would see.
//
//	weir broker ◄──────────── rows as JSON queries, open loop, Poisson
//	   │  ▲  │
//	   ▼  │  └──► predictions ──► Collector ──► live view, Summary
//	weir run × N                      └──► true labels ──► feedback
//
// Broker and workers are processes of their own, started from this executable; nothing of the pipeline
// runs in the demo's process but, at the very end, the last model alone as the yardstick of accuracy.
// The demo never reads a worker's memory or metrics: all figures come from the records on the topics.
package demo
