// Package driver is what the connector asks of a Kafka client library, and no more.
//
//	Source, Sink, Fence, Reader          connectors/kafka: routing, retries, order, recovery
//	        │
//	     driver.Cluster                  one request, one answer
//	        │
//	  kafka-go │ franz-go                connectors/kafka/driver/{kafkago,franz}
//
// A driver sends a request and decodes its answer. It retries nothing, keeps no leaders and starts nothing that
// outlives the call, except for a member of a group. What a broker answers is a Code, perhaps wrapped with what else
// it said; any other error is the network's, and the same request may be sent again. Package drivertest holds every
// driver to that.
package driver
