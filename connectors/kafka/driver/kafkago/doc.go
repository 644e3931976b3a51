// Package kafkago implements package driver on kafka-go.
//
// It takes kafka-go's connections, API versions, encoders and group protocol, and not its routing, its decoder of
// fetch answers, nor its Reader and Writer: see exchange and fetched for why.
package kafkago
