package config

import "time"

// DefaultOrigin returns an Origin in which every key has its default.
func DefaultOrigin() *Origin {
	return &Origin{
		Listen: ":8080",
		TLS:    defaultTLS(),
		Access: Access{Mode: AccessOpen},
		Ingest: Ingest{Listen: ":8081", MaxUpload: 64 * MiB, MaxChannels: 1000, Create: true, Connections: 10_000,
			StallTimeout: 30 * time.Second, Watch: Watch{Poll: time.Second}},
		Store: Store{Memory: 1 * GiB, KeepFree: 1 * GiB},
		Channels: Channels{Defaults: Channel{
			Window:    30 * time.Second,
			Retention: 60 * time.Second,
		}},
		Limits: defaultLimits(),
		Admin:  Admin{Listen: "127.0.0.1:9180"},
		Log:    Log{Level: "info", Format: "text"},
		Drain:  defaultDrain(),
	}
}

// DefaultEdge returns an Edge in which every key has its default. It still
// lacks origins, which have none.
func DefaultEdge() *Edge {
	return &Edge{
		Listen: ":8090",
		TLS:    defaultTLS(),
		Query:  QueryHLS,

		OriginHost: OriginHostUpstream,
		OriginTLS:  OriginTLS{MinVersion: "1.2"},

		CacheStatus: true,
		Playlists:   Playlists{Read: true, Prefetch: true, Hold: 5 * time.Second, MaxHolds: 1024, Memory: 32 * MiB},
		Fetch: Fetch{
			DialTimeout:  2 * time.Second,
			PeerTimeout:  2 * time.Second,
			HeadTimeout:  10 * time.Second,
			BlockTimeout: 25 * time.Second,
			StallTimeout: 10 * time.Second,
			Connections:  256,
			Via:          true,

			ConnectionQueue:    1024,
			ConnectionWait:     2 * time.Second,
			IdleConnections:    64,
			ConnectionIdle:     time.Minute,
			ConnectionLifetime: 5 * time.Minute,
			Hedge:              HedgeAuto,
			Probe:              Probe{Every: 5 * time.Second, Timeout: 2 * time.Second, Status: 200, Down: 3, Up: 2},
		},
		Proxy: Proxy{MaxBody: 1 * MiB, Cookies: CookiesForward},
		Cache: Cache{Memory: 1 * GiB, MaxObject: 64 * MiB, SliceOver: 32 * MiB, Slice: 4 * MiB, RequestDirectives: DirectivesIgnore,
			Waiting: Waiting{All: 100_000, PerObject: 50_000, Memory: 64 * MiB},
			Stale: Stale{
				Playlists: time.Minute, PlaylistsOnError: 10 * time.Minute,
				Media: 10 * time.Minute, MediaOnError: 24 * time.Hour,
				Other: time.Hour, OtherOnError: 24 * time.Hour,
			},
		},
		Cluster: Cluster{Bind: ":7946", Peers: ":8091", Weight: 10},
		Limits:  defaultLimits(),
		Clients: Clients{Burst: 200, TokenBurst: 200, Forwarded: "X-Forwarded-For", MinRatePercent: 25},
		Admin:   Admin{Listen: "127.0.0.1:9190"},
		Log:     Log{Level: "info", Format: "text"},
		Drain:   defaultDrain(),
	}
}

func defaultTLS() TLS { return TLS{MinVersion: "1.2", Streams: 128} }

func defaultLimits() Limits {
	return Limits{
		Connections:   200_000,
		Header:        16 * KiB,
		HeaderTimeout: 10 * time.Second,
		IdleTimeout:   75 * time.Second,
		WriteStall:    15 * time.Second,
		MinSendRate:   8 * KiB,
	}
}

// A container is usually killed ten seconds after it was asked to stop.
func defaultDrain() Drain { return Drain{Delay: 1 * time.Second, Timeout: 7 * time.Second} }
