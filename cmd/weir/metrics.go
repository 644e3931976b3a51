package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"weir/connectors/kafka"
	"weir/gpu"
	"weir/pipeline"
	"weir/schemas"
)

// metrics are what /metrics shows of a running pipeline. Times are in seconds.
type metrics struct {
	registry *prometheus.Registry

	rows, late, stageRows, failedRows, dropped *prometheus.CounterVec
	endToEnd, stageTime, hopTime               *prometheus.HistogramVec

	batchRows, queueTime, runTime *prometheus.HistogramVec
	queueRows                     *prometheus.GaugeVec
	modelRows                     *prometheus.CounterVec

	lagRows, lagSeconds  *prometheus.GaugeVec
	fetched, skipped     *prometheus.CounterVec
	rebalances, retries  prometheus.Counter
	renewed              prometheus.Counter
	reopened, outOfRange *prometheus.CounterVec
	fenced               *prometheus.CounterVec
	rebalanceTime        *prometheus.HistogramVec
	recovered            *prometheus.CounterVec
}

// times are buckets from 0.1 ms to 6.5 s, a factor of 2 apart, as decisions are asked for in about 10 ms.
var times = prometheus.ExponentialBuckets(0.0001, 2, 17)

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.rows = m.counter("weir_rows_total", "Rows that ended here, by status and reason.", "segment", "status", "reason")
	m.late = m.counter("weir_late_rows_total", "Rows that ended after the objective or their deadline.", "segment")
	m.endToEnd = m.histogram("weir_end_to_end_seconds", "From a query's stamp to its prediction's writing.", times, "segment")
	m.stageRows = m.counter("weir_stage_rows_total", "Rows that a stage was given.", "segment", "stage")
	m.stageTime = m.histogram("weir_stage_seconds", "One call of a stage.", times, "segment", "stage")
	m.failedRows = m.counter("weir_stage_failed_rows_total", "Rows that a stage failed on.", "segment", "stage")
	m.dropped = m.counter("weir_dropped_rows_total", "Rows that fitted an output at no size.", "segment", "output")
	m.hopTime = m.histogram("weir_hop_seconds", "One write to a topic until it is durable, lingering included.", times, "topic")
	m.batchRows = m.histogram("weir_batch_rows", "Rows of a device batch.", prometheus.ExponentialBuckets(1, 2, 11), "model")
	m.queueTime = m.histogram("weir_queue_seconds", "Wait of a batch's oldest row for a device.", times, "model")
	m.runTime = m.histogram("weir_run_seconds", "Run of a batch on a device.", times, "model")
	m.queueRows = m.gauge("weir_queue_rows", "Rows that wait for a device.", "model")
	m.modelRows = m.counter("weir_model_rows_total", "Rows that a model retried, failed or let expire.", "model", "outcome")
	m.lagRows = m.gauge("weir_lag_rows", "Records of a partition that are not finished.", "topic", "partition")
	m.lagSeconds = m.gauge("weir_lag_seconds", "Age of the oldest record in hand.", "topic", "partition")
	m.fetched = m.counter("weir_fetched_records_total", "Records read.", "topic")
	m.skipped = m.counter("weir_skipped_total", "Null records, and values of columns that the schema lacks.", "what")
	m.reopened = m.counter("weir_reopened_total", "Partitions that were given back after an error.", "topic")
	m.fenced = m.counter("weir_fenced_total", "Writes that were refused, because another process had taken over the partition.", "topic")
	m.recovered = m.counter("weir_recovered_records_total", "Records of an output that were read, when a partition was taken over, to know what had been written since its last commit.", "topic")
	m.outOfRange = m.counter("weir_out_of_range_total", "Times that the offset to read was no longer there: records were lost to retention.", "topic")
	m.rebalances = prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_rebalances_total", Help: "Generations of the consumer group."})
	m.rebalanceTime = m.histogram("weir_rebalance_seconds", "From the end of a generation of the consumer group to the next one; meanwhile partitions that stay are served, but nothing is committed.", times, "segment")
	m.retries = prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_broker_retries_total", Help: "Requests to the broker that were tried again."})
	m.renewed = prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_producer_ids_renewed_total", Help: "Take-overs at which the broker gave a new producer id, which does not fence earlier writers; the partition then waits two sessions."})
	m.registry.MustRegister(m.rebalances, m.retries, m.renewed)
	return m
}

func (m *metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}

// segment are the events of one segment. What its labels stand for is looked up once, not once a row.
func (m *metrics) segment(name string, failed func(stage string, err error)) pipeline.Events {
	late, total := m.late.WithLabelValues(name), m.endToEnd.WithLabelValues(name)
	answered := m.rows.WithLabelValues(name, schemas.Answered.String(), "") // nearly all rows
	return pipeline.Events{
		Stage: func(segment, stage string, rows int, took time.Duration) {
			m.stageRows.WithLabelValues(segment, stage).Add(float64(rows))
			m.stageTime.WithLabelValues(segment, stage).Observe(took.Seconds())
		},
		Failed: func(segment, stage string, err error) {
			m.failedRows.WithLabelValues(segment, stage).Inc()
			failed(stage, err)
		},
		Ended: func(segment string, status schemas.Status, reason string, took time.Duration, isLate bool) {
			if status == schemas.Answered && reason == "" {
				answered.Inc()
			} else {
				m.rows.WithLabelValues(segment, status.String(), reason).Inc()
			}
			total.Observe(took.Seconds())
			if isLate {
				late.Inc()
			}
		},
		Dropped: func(segment, output string, rows int) {
			m.dropped.WithLabelValues(segment, output).Add(float64(rows))
		},
	}
}

// device are the events of the models.
func (m *metrics) device() gpu.Events {
	rows := func(outcome string) func(string, int) {
		return func(model string, n int) { m.modelRows.WithLabelValues(model, outcome).Add(float64(n)) }
	}
	return gpu.Events{
		Batch: func(model string, rows int, wait, run time.Duration) {
			m.batchRows.WithLabelValues(model).Observe(float64(rows))
			m.queueTime.WithLabelValues(model).Observe(wait.Seconds())
			m.runTime.WithLabelValues(model).Observe(run.Seconds())
		},
		Queue: func(model string, rows int) { m.queueRows.WithLabelValues(model).Set(float64(rows)) },
		Retry: rows("retried"), Failed: rows("failed"), Expired: rows("expired"),
	}
}

// broker are the events of the connection to Kafka.
func (m *metrics) broker() kafka.Events {
	return kafka.Events{
		Fetched: func(topic string, _ int32, records, _ int, _ time.Duration) {
			m.fetched.WithLabelValues(topic).Add(float64(records))
		},
		Hop: func(topic string, took time.Duration) { m.hopTime.WithLabelValues(topic).Observe(took.Seconds()) },
		Lag: func(topic string, partition int32, rows int64, seconds float64) {
			p := strconv.Itoa(int(partition))
			m.lagRows.WithLabelValues(topic, p).Set(float64(rows))
			m.lagSeconds.WithLabelValues(topic, p).Set(seconds)
		},
		Reopened:   func(topic string, _ int32, _ error) { m.reopened.WithLabelValues(topic).Inc() },
		OutOfRange: func(topic string, _ int32, _, _ int64) { m.outOfRange.WithLabelValues(topic).Inc() },
		Rebalanced: func(int32, []int32) { m.rebalances.Inc() },
		Fenced:     func(topic string, _ int32) { m.fenced.WithLabelValues(topic).Inc() },
		Recovered:  func(topic string, _ int32, records int) { m.recovered.WithLabelValues(topic).Add(float64(records)) },
		Retry:      func(error) { m.retries.Inc() },
	}
}

// forgetLag forgets how far a topic's partitions are behind. Those that are still here are told again soon;
// of those that another process has, the last figures would stand for ever.
func (m *metrics) forgetLag(topic string) {
	for _, g := range []*prometheus.GaugeVec{m.lagRows, m.lagSeconds} {
		g.DeletePartialMatch(prometheus.Labels{"topic": topic})
	}
}

// counted is a queries decoder that reports what it passes over. A decoder's own counts belong to the one
// goroutine that uses it.
type counted struct {
	*schemas.Queries
	seen         schemas.Counts
	nulls, extra prometheus.Counter
}

func (m *metrics) counted(d *schemas.Queries) *counted {
	return &counted{Queries: d, nulls: m.skipped.WithLabelValues("null_record"), extra: m.skipped.WithLabelValues("unknown_column")}
}

// Append implements schemas.Decoder.
func (c *counted) Append(r schemas.Record) {
	c.Queries.Append(r)
	now := c.Counts()
	if now != c.seen {
		c.nulls.Add(float64(now.Nulls - c.seen.Nulls))
		c.extra.Add(float64(now.Extra - c.seen.Extra))
		c.seen = now
	}
}

var _ schemas.Decoder = (*counted)(nil)
