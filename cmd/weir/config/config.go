// Package config is what an operator may say about a node: the two YAML files,
// the key files they name, and the flags that stand in for them.
//
// It promises that nothing is guessed and nothing passed over: an unknown key,
// a key given twice, a wrong unit, a value out of range and two keys that
// contradict each other are all errors, every error names file, line and full
// key and says what is allowed, and all of them are told at once. It knows the
// formats and the rules, and starts nothing.
package config

import (
	"net/netip"
	"time"

	"weir/token"
)

// The struct tags of this package:
//
//	yaml      the key; ",inline" for a map whose keys are names the operator chose
//	kind      what a string must be: listen, hostport, url, file, name; see value.go
//	enum      the words allowed
//	min, max  bounds of a number, size or duration; both are allowed values
//	required  there is no default and the manual shows an example instead
//	live      a reload applies it; whatever lacks it needs a restart
//	file      for yaml:"-": what was read from the file this neighbouring key names

// Origin is what origin.yaml says. DefaultOrigin gives the default of every key.
type Origin struct {
	Listen   string   `yaml:"listen" kind:"viewers"`
	TLS      TLS      `yaml:"tls"`
	Access   Access   `yaml:"access"`
	Ingest   Ingest   `yaml:"ingest"`
	Store    Store    `yaml:"store"`
	Channels Channels `yaml:"channels"`
	Limits   Limits   `yaml:"limits"`
	Admin    Admin    `yaml:"admin"`
	Log      Log      `yaml:"log"`
	Drain    Drain    `yaml:"drain"`

	source *source // where each key was said; nil for a config made in code
}

// Access says who may ask the origin for streams, so that the tokens the edges
// check cannot be walked round.
type Access struct {
	Mode     string         `yaml:"mode" enum:"open,pull-key,cidr,mtls" live:"true"`
	KeysFile string         `yaml:"keys_file" kind:"file" live:"true"`
	CIDRs    []netip.Prefix `yaml:"cidrs" live:"true"`

	Keys []Secret `yaml:"-" file:"keys_file" live:"true"` // the lines of KeysFile
}

// The modes of Access.
const (
	AccessOpen    = "open"
	AccessPullKey = "pull-key"
	AccessCIDR    = "cidr"
	AccessMTLS    = "mtls"
)

// Ingest is where encoders push.
type Ingest struct {
	Listen       string        `yaml:"listen" kind:"listen"`
	KeysFile     string        `yaml:"keys_file" kind:"file" live:"true"`
	MaxUpload    Size          `yaml:"max_upload" min:"1MiB" max:"1GiB"`
	MaxChannels  int           `yaml:"max_channels" min:"1" max:"100000"`
	Create       bool          `yaml:"create"`
	Connections  int           `yaml:"connections" min:"16" max:"10000000"`
	StallTimeout time.Duration `yaml:"stall_timeout" min:"1s" max:"10m"`
	Watch        Watch         `yaml:"watch"`

	Publishers []Publisher `yaml:"-" file:"keys_file" live:"true"` // the lines of KeysFile
}

// Watch is a directory into which encoders of this machine write. It is off while
// Dir is not given.
type Watch struct {
	Dir  string        `yaml:"dir" kind:"dir"`
	Poll time.Duration `yaml:"poll" min:"50ms" max:"1m"`
}

// Store is where the origin keeps what it publishes.
type Store struct {
	Dir      string `yaml:"dir" kind:"file"`
	Max      Size   `yaml:"max" min:"0B" max:"1024TiB"`
	KeepFree Size   `yaml:"keep_free" min:"16MiB" max:"16TiB"`
	Memory   Size   `yaml:"memory" min:"16MiB" max:"16TiB"`
}

// Channels is how streams are published: a rule for all, and channels that
// differ. A channel says only what differs; the rest comes from Defaults.
type Channels struct {
	Defaults Channel            `yaml:"defaults"`
	Named    map[string]Channel `yaml:",inline"`
}

// Channel is how one stream is published.
type Channel struct {
	TargetDuration time.Duration `yaml:"target_duration" min:"0s" max:"60s"`
	Window         time.Duration `yaml:"window" min:"3s" max:"24h"`
	Retention      time.Duration `yaml:"retention" min:"3s" max:"48h"`
	DVR            time.Duration `yaml:"dvr" min:"0s" max:"1000h"`
	DVRMax         Size          `yaml:"dvr_max" min:"0B" max:"1024TiB"`
	Hold           time.Duration `yaml:"hold" min:"0s" max:"5m"`
	EndWithEncoder bool          `yaml:"end_with_encoder"`
	Memory         Size          `yaml:"memory" min:"0B" max:"16TiB"`
	Renditions     []string      `yaml:"renditions" kind:"rendition"`
}

// Edge is what edge.yaml says. DefaultEdge gives the default of every key.
type Edge struct {
	Listen        string    `yaml:"listen" kind:"viewers"`
	TLS           TLS       `yaml:"tls"`
	Name          string    `yaml:"name" kind:"name"`
	Origins       []string  `yaml:"origins" kind:"url" required:"true" live:"true"`
	OriginKeyFile string    `yaml:"origin_key_file" kind:"file" live:"true"`
	OriginHost    string    `yaml:"origin_host" kind:"originhost" live:"true"`
	OriginHeaders Fields    `yaml:"origin_headers" live:"true"`
	OriginTLS     OriginTLS `yaml:"origin_tls"`
	Query         string    `yaml:"query" enum:"hls,all"`
	CacheStatus   bool      `yaml:"cache_status"`
	Proxy         Proxy     `yaml:"proxy"`
	Playlists     Playlists `yaml:"playlists"`
	Fetch         Fetch     `yaml:"fetch"`
	Cache         Cache     `yaml:"cache"`
	Cluster       Cluster   `yaml:"cluster"`
	Tokens        Tokens    `yaml:"tokens"`
	CORS          CORS      `yaml:"cors"`
	Limits        Limits    `yaml:"limits"`
	Clients       Clients   `yaml:"clients"`
	Overload      Overload  `yaml:"overload"`
	Admin         Admin     `yaml:"admin"`
	Log           Log       `yaml:"log"`
	Drain         Drain     `yaml:"drain"`

	OriginKey string `yaml:"-" file:"origin_key_file" live:"true"` // the secret in OriginKeyFile

	source *source
}

// The values of Edge.Query.
const (
	QueryHLS = "hls"
	QueryAll = "all"
)

// Proxy is how an edge with QueryAll passes on what no cache answers.
type Proxy struct {
	MaxBody Size   `yaml:"max_body" min:"1KiB" max:"64MiB"`
	Cookies string `yaml:"cookies" enum:"forward,drop"`
}

// The values of Proxy.Cookies.
const (
	CookiesForward = "forward"
	CookiesDrop    = "drop"
)

// Playlists is what an edge makes of the playlists that go through it.
type Playlists struct {
	Read     bool          `yaml:"read"`
	Prefetch bool          `yaml:"prefetch"`
	Hold     time.Duration `yaml:"hold" min:"0s" max:"30s"`
	MaxHolds int           `yaml:"max_holds" min:"1" max:"100000"`
	Memory   Size          `yaml:"memory" min:"1MiB" max:"16GiB"`
}

// Fetch is how an edge asks origins and peers, and its patience with them.
type Fetch struct {
	DialTimeout  time.Duration `yaml:"dial_timeout" min:"50ms" max:"1m"`
	PeerTimeout  time.Duration `yaml:"peer_timeout" min:"50ms" max:"1m"`
	HeadTimeout  time.Duration `yaml:"head_timeout" min:"100ms" max:"5m"`
	BlockTimeout time.Duration `yaml:"block_timeout" min:"1s" max:"5m"`
	StallTimeout time.Duration `yaml:"stall_timeout" min:"100ms" max:"5m"`
	Connections  int           `yaml:"connections" min:"1" max:"65535"`
	Via          bool          `yaml:"via"`

	ConnectionQueue    int           `yaml:"connection_queue" min:"1" max:"1000000"`
	ConnectionWait     time.Duration `yaml:"connection_wait" min:"10ms" max:"1m"`
	IdleConnections    int           `yaml:"idle_connections" min:"1" max:"65535"`
	ConnectionIdle     time.Duration `yaml:"connection_idle" min:"1s" max:"1h"`
	ConnectionLifetime time.Duration `yaml:"connection_lifetime" min:"1s" max:"24h"`

	Hedge string `yaml:"hedge" kind:"hedge"`
	Probe Probe  `yaml:"probe"`
}

// Probe is how origins are asked whether they are well. It is off while Path
// is not given.
type Probe struct {
	Path    string        `yaml:"path" kind:"path"`
	Every   time.Duration `yaml:"every" min:"100ms" max:"10m"`
	Timeout time.Duration `yaml:"timeout" min:"50ms" max:"1m"`
	Status  int           `yaml:"status" min:"100" max:"599"`
	Down    int           `yaml:"down" min:"1" max:"100"`
	Up      int           `yaml:"up" min:"1" max:"100"`
}

// Cache is what an edge keeps.
type Cache struct {
	Memory    Size `yaml:"memory" min:"16MiB" max:"16TiB"`
	Young     Size `yaml:"young" min:"0B" max:"16TiB"`
	MaxObject Size `yaml:"max_object" min:"1MiB" max:"64GiB"`
	SliceOver Size `yaml:"slice_over" min:"0B" max:"64GiB"`
	Slice     Size `yaml:"slice" min:"256KiB" max:"256MiB"`

	RequestDirectives string  `yaml:"request_directives" enum:"ignore,honour"`
	Waiting           Waiting `yaml:"waiting"`
	Stale             Stale   `yaml:"stale"`
}

// Waiting bounds who waits for what is not in the cache yet.
type Waiting struct {
	All       int  `yaml:"all" min:"16" max:"10000000"`
	PerObject int  `yaml:"per_object" min:"16" max:"10000000"`
	Memory    Size `yaml:"memory" min:"1MiB" max:"1TiB"`
}

// Stale bounds for how long beyond their lifetimes objects are served.
type Stale struct {
	Playlists        time.Duration `yaml:"playlists" min:"0s" max:"720h"`
	PlaylistsOnError time.Duration `yaml:"playlists_on_error" min:"0s" max:"720h"`
	Media            time.Duration `yaml:"media" min:"0s" max:"720h"`
	MediaOnError     time.Duration `yaml:"media_on_error" min:"0s" max:"720h"`
	Other            time.Duration `yaml:"other" min:"0s" max:"720h"`
	OtherOnError     time.Duration `yaml:"other_on_error" min:"0s" max:"720h"`
}

// The values of Cache.RequestDirectives.
const (
	DirectivesIgnore = "ignore"
	DirectivesHonour = "honour"
)

// Cluster is how edges find each other. It is off while neither Join nor
// SecretFile is given.
type Cluster struct {
	Bind           string   `yaml:"bind" kind:"listen"`
	Advertise      string   `yaml:"advertise" kind:"hostport"`
	Peers          string   `yaml:"peers" kind:"listen"`
	AdvertisePeers string   `yaml:"advertise_peers" kind:"hostport"`
	Join           []string `yaml:"join" kind:"hostport"`
	SecretFile     string   `yaml:"secret_file" kind:"file"`
	Zone           string   `yaml:"zone" kind:"name"`
	Weight         int      `yaml:"weight" min:"1" max:"1000"`

	Secret string `yaml:"-" file:"secret_file"`
}

// On reports whether the edge is part of a cluster.
func (c *Cluster) On() bool { return len(c.Join) > 0 || c.SecretFile != "" || c.Secret != "" }

// Tokens is who may play. Without keys everybody may.
type Tokens struct {
	Keys     []TokenKey `yaml:"keys" live:"true"`
	Issuers  []string   `yaml:"issuers" kind:"text" live:"true"`
	Audience string     `yaml:"audience" kind:"text" live:"true"`
}

// TokenKey is a key that viewers' tokens may be signed with.
type TokenKey struct {
	ID     string `yaml:"id" kind:"name" live:"true"`
	Alg    string `yaml:"alg" enum:"HS256,ES256,EdDSA" live:"true"`
	File   string `yaml:"file" kind:"file" live:"true"`
	Issuer string `yaml:"issuer" kind:"text" live:"true"`

	Key token.Key `yaml:"-" file:"file" live:"true"` // what File holds
}

// CORS says which web pages may play.
type CORS struct {
	Origins []string `yaml:"origins" kind:"weborigin"`
}

// Limits bounds what one viewer, and all of them together, may cost a listener.
type Limits struct {
	Connections   int           `yaml:"connections" min:"1" max:"10000000" live:"true"`
	Header        Size          `yaml:"header" min:"4KiB" max:"1MiB" live:"true"`
	HeaderTimeout time.Duration `yaml:"header_timeout" min:"1s" max:"5m" live:"true"`
	IdleTimeout   time.Duration `yaml:"idle_timeout" min:"1s" max:"1h" live:"true"`
	WriteStall    time.Duration `yaml:"write_stall" min:"1s" max:"10m" live:"true"`
	MinSendRate   Size          `yaml:"min_send_rate" min:"1B" max:"1GiB" live:"true"`
}

// Clients bounds what one viewer may ask of an edge. 0 is no bound.
type Clients struct {
	Connections    int            `yaml:"connections" min:"0" max:"10000000" live:"true"`
	Rate           int            `yaml:"rate" min:"0" max:"1000000" live:"true"`
	Burst          int            `yaml:"burst" min:"1" max:"1000000" live:"true"`
	TokenRate      int            `yaml:"token_rate" min:"0" max:"1000000" live:"true"`
	TokenBurst     int            `yaml:"token_burst" min:"1" max:"1000000" live:"true"`
	Exempt         []netip.Prefix `yaml:"exempt" live:"true"`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" live:"true"`
	Forwarded      string         `yaml:"forwarded" enum:"X-Forwarded-For,Forwarded" live:"true"`
	MinRatePercent int            `yaml:"min_rate_percent" min:"0" max:"100" live:"true"`
}

// Overload is what an edge has, beyond which it refuses whoever matters least.
type Overload struct {
	Bandwidth Size `yaml:"bandwidth" min:"0B" max:"1TiB" live:"true"`
	Requests  int  `yaml:"requests" min:"0" max:"10000000" live:"true"`
	Fills     int  `yaml:"fills" min:"0" max:"10000000" live:"true"`
}

// Admin is the operator's own listener.
type Admin struct {
	Listen    string   `yaml:"listen" kind:"listen"`
	TokenFile string   `yaml:"token_file" kind:"file" live:"true"`
	Hosts     []string `yaml:"hosts" kind:"host" live:"true"`

	Token string `yaml:"-" file:"token_file" live:"true"`
}

// Log is what is said, and how.
type Log struct {
	Level    string `yaml:"level" enum:"debug,info,warn,error" live:"true"`
	Format   string `yaml:"format" enum:"text,json"`
	Requests bool   `yaml:"requests" live:"true"`
}

// Drain is how a node that is told to stop leaves.
type Drain struct {
	Delay   time.Duration `yaml:"delay" min:"0s" max:"10m" live:"true"`
	Timeout time.Duration `yaml:"timeout" min:"0s" max:"10m" live:"true"`
}
