package e2e_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// simulated starts a broker in the test's own process, whose answers the test may change.
func simulated(t *testing.T) (cluster, *kfake.Cluster) {
	t.Helper()
	f, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return cluster{f.ListenAddrs()[0]}, f
}

// A broker that gives out no producer identities is named at the start, with the delivery that it allows; and
// with that one it serves.
func TestBrokerWithoutIdentities(t *testing.T) {
	t.Parallel()
	refuse := func(code int16) func(*kfake.Cluster) {
		return func(f *kfake.Cluster) {
			f.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
				f.KeepControl()
				res := req.ResponseKind().(*kmsg.InitProducerIDResponse)
				res.ErrorCode = code
				return res, nil, true
			})
		}
	}
	// An old broker does not list the request, and would close the connection on it.
	forget := func(f *kfake.Cluster) {
		f.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
			f.KeepControl()
			res := req.ResponseKind().(*kmsg.ApiVersionsResponse)
			for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.OffsetCommit, kmsg.OffsetFetch,
				kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.SyncGroup, kmsg.ApiVersions, kmsg.CreateTopics} {
				k := kmsg.NewApiVersionsResponseApiKey()
				k.ApiKey, k.MaxVersion = int16(key), 3
				if slices.Contains([]kmsg.Key{kmsg.Produce, kmsg.Fetch}, key) {
					k.MaxVersion = 7
				}
				res.ApiKeys = append(res.ApiKeys, k)
			}
			return res, nil, true
		})
		f.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) {
			t.Error("asked for an identity that the broker does not list")
			return nil, nil, false
		})
	}
	for _, x := range []struct {
		name  string
		spoil func(*kfake.Cluster)
		want  []string
	}{
		{"it does not know of them", refuse(kerr.UnsupportedVersion.Code), []string{"UNSUPPORTED_VERSION", "InitProducerId"}},
		{"it does not list them", forget, []string{"UNSUPPORTED_VERSION", "InitProducerId"}},
		{"it denies them", refuse(kerr.TransactionalIDAuthorizationFailed.Code), []string{"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "allow Write"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c, f := simulated(t)
			p := c.toyPipe(t)
			x.spoil(f)
			got := run(t, command("run", p.spec, "--broker", c.addr, "--admin", "127.0.0.1:0", "--log-level", "error"))
			checkFailure(t, got, p.spec, 1, append(x.want, "delivery: at_least_once")...)
			replaceIn(t, p.spec, "pipeline: "+p.name, "pipeline: "+p.name+"\ndelivery: at_least_once")
			p.work(t)
		})
	}
}
