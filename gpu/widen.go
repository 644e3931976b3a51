package gpu

// Widens says that every value of from is a value of to, so that a model which takes to may be given from.
// Every type widens to itself; a Bool widens to 0 or 1 of any number type. Not among them are int32 to
// float32 and int64 to float64: a float32 has 24 bits for a whole number and a float64 has 53.
func Widens(from, to Type) bool {
	if from == to {
		return from.Size() > 0
	}
	switch from {
	case Bool:
		return to > Bool && to.Size() > 0
	case Int8:
		return to == Int16 || to == Int32 || to == Int64 || to == Float32 || to == Float64
	case Int16:
		return to == Int32 || to == Int64 || to == Float32 || to == Float64
	case Int32:
		return to == Int64 || to == Float64
	case Uint8:
		return to == Uint16 || to == Uint32 || to == Uint64 || to == Int16 || Widens(Int16, to)
	case Uint16:
		return to == Uint32 || to == Uint64 || to == Int32 || to == Float32 || Widens(Int32, to)
	case Uint32:
		return to == Uint64 || to == Int64 || to == Float64
	case Float32:
		return to == Float64
	}
	return false
}

// widen copies src's numbers into dst, whose type they widen to.
func widen(dst, src Tensor) {
	if dst.Type == src.Type {
		copy(dst.Data, src.Data)
		return
	}
	switch src.Type {
	case Bool, Uint8:
		widenFrom[uint8](dst, src.Data)
	case Int8:
		widenFrom[int8](dst, src.Data)
	case Int16:
		widenFrom[int16](dst, src.Data)
	case Int32:
		widenFrom[int32](dst, src.Data)
	case Uint16:
		widenFrom[uint16](dst, src.Data)
	case Uint32:
		widenFrom[uint32](dst, src.Data)
	case Float32:
		widenFrom[float32](dst, src.Data)
	}
}

func widenFrom[F number](dst Tensor, data []byte) {
	src := view[F](data)
	switch dst.Type {
	case Int8:
		convert[F, int8](dst.Data, src)
	case Int16:
		convert[F, int16](dst.Data, src)
	case Int32:
		convert[F, int32](dst.Data, src)
	case Int64:
		convert[F, int64](dst.Data, src)
	case Uint8:
		convert[F, uint8](dst.Data, src)
	case Uint16:
		convert[F, uint16](dst.Data, src)
	case Uint32:
		convert[F, uint32](dst.Data, src)
	case Uint64:
		convert[F, uint64](dst.Data, src)
	case Float32:
		convert[F, float32](dst.Data, src)
	case Float64:
		convert[F, float64](dst.Data, src)
	}
}

func convert[F, T number](data []byte, src []F) {
	dst := view[T](data)
	dst = dst[:len(src)] // one bounds check here instead of one a number
	for i, v := range src {
		dst[i] = T(v)
	}
}
