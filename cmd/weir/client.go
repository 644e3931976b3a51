package main

import (
	"context"
	"errors"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
)

// withClient gives use a connection to the cluster of --broker for as long as it runs.
func (a *app) withClient(ctx context.Context, use func(*kafka.Client) error) error {
	client, err := kafka.Dial(ctx, kafka.Options{
		Brokers: a.brokers(),
		Events:  kafka.Events{Retry: feed.Retries(a.log)},
	})
	if err != nil {
		return err
	}
	return errors.Join(use(client), client.Close())
}
