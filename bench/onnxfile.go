package main

import (
	"encoding/binary"
	"math/rand/v2"

	"weir/gpu"
)

// linearONNX is an ONNX model of one matrix product, logits = pixels × w + b, with random weights: so little
// that all else is overhead. The weights are small enough that the scores are no plain zeros and ones.
func linearONNX(features, classes int) []byte {
	rnd := rand.New(rand.NewPCG(seed, 0))
	w, b := make([]float32, features*classes), make([]float32, classes)
	for i := range w {
		w[i] = (rnd.Float32() - 0.5) / 500
	}
	var graph message
	graph = graph.bytes(1, message(nil).text(1, "pixels").text(1, "w").text(1, "b").text(2, "logits").text(4, "Gemm"))
	graph = graph.text(2, "linear").bytes(5, weights("w", w, features, classes)).bytes(5, weights("b", b, classes))
	graph = graph.bytes(11, port("pixels", features)).bytes(12, port("logits", classes))
	return message(nil).number(1, 8).bytes(7, graph).bytes(8, message(nil).text(1, "").number(2, 15))
}

func weights(name string, v []float32, dims ...int) message {
	var m message
	for _, d := range dims {
		m = m.number(1, d)
	}
	return m.number(2, 1).text(8, name).bytes(9, gpu.Bytes(v))
}

// port is a matrix of any number of rows.
func port(name string, width int) message {
	rows, row := message(nil).text(2, "rows"), message(nil).number(1, width)
	shape := message(nil).bytes(1, rows).bytes(1, row)
	tensor := message(nil).number(1, 1).bytes(2, shape)
	return message(nil).text(1, name).bytes(2, message(nil).bytes(1, tensor))
}

// message is a protobuf message that grows a field at a time.
type message []byte

func (m message) number(field, v int) message {
	return binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3), uint64(v))
}

func (m message) bytes(field int, v []byte) message {
	m = binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3|2), uint64(len(v)))
	return append(m, v...)
}

func (m message) text(field int, v string) message { return m.bytes(field, []byte(v)) }
