package main

import (
	"context"
	"errors"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
	"weir/connectors/kafka/driver/franz"
	"weir/connectors/kafka/driver/kafkago"
)

// chooseDriver takes the client library of a name.
func (a *app) chooseDriver(name string) error {
	switch name {
	case "kafka-go":
		a.driver = kafkago.New
	case "franz-go":
		a.driver = franz.New
	default:
		return usage("--kafka-client %q: want kafka-go or franz-go", name)
	}
	return nil
}

// withClient gives use a connection to the cluster of --broker for as long as it runs.
func (a *app) withClient(ctx context.Context, use func(*kafka.Client) error) error {
	client, err := kafka.Dial(ctx, kafka.Options{
		Brokers: a.brokers(),
		Driver:  a.driver,
		Events:  kafka.Events{Retry: feed.Retries(a.log)},
	})
	if err != nil {
		return err
	}
	return errors.Join(use(client), client.Close())
}
