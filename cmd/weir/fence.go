package main

import (
	"context"

	"weir/connectors/kafka"
	"weir/pipeline"
)

// newFence is the fence of a unit's outputs.
func newFence(spec *pipeline.Spec, u part, client *kafka.Client, o runOptions) *kafka.Fence {
	return &kafka.Fence{Client: client, Name: u.Group, Segment: uint8(segmentIndex(spec, u.Unit)), Version: u.version(), Session: o.session}
}

// probeFences fails where the broker lacks what the spec's delivery needs, before anything is served.
func probeFences(ctx context.Context, spec *pipeline.Spec, o runOptions, parts []part, client *kafka.Client) error {
	if spec.Delivery != pipeline.ExactlyOnceEffect {
		return nil
	}
	for _, p := range parts {
		if err := newFence(spec, p, client, o).Probe(ctx); err != nil {
			return err
		}
	}
	return nil
}
