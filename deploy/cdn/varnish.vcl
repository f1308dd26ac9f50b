# Varnish as a CDN before a weir origin: varnishd -a :80 -f varnish.vcl -s malloc,4g
# What to change: the origin's address and port, the pull key.
# docs/cdn.md says why each line is there; a test plays through this very file.
vcl 4.1;

backend origin {
	.host = "192.0.2.10";
	.port = "8080";
	.connect_timeout = 1s;
	# So that nobody waits for an origin that is known to be away. There is nothing at this
	# path, and to say so the origin must live and know the key.
	.probe = {
		.request = "GET /live/ HTTP/1.1" "Host: weir" "Weir-Pull-Key: PULL-KEY" "Connection: close";
		.expected_response = 404;
		.interval = 1s;
		.timeout = 2s;
		.window = 2;
		.threshold = 1;
		.initial = 1;
	}
	# Longer than the origin holds a request for what is not there yet.
	.first_byte_timeout = 30s;
	.between_bytes_timeout = 15s;
}

sub vcl_recv {
	# What viewers send for themselves is no business of the origin's, and by default
	# Varnish caches nothing for whoever sends it.
	unset req.http.Cookie;
	unset req.http.Authorization;
	unset req.http.Weir-Pull-Key;

	# Varnish's own rule is to show what is up to 10 s too old while it asks for the new
	# one: in a playlist that is five segments. Only where the origin has failed, see
	# vcl_deliver, what is a little old is better than nothing.
	set req.grace = 0s;
	if (req.restarts > 0) {
		set req.grace = 60s;
	}
}

sub vcl_backend_fetch {
	set bereq.http.Weir-Pull-Key = "PULL-KEY";
}

sub vcl_backend_response {
	# Kept for that, and to be asked for with If-None-Match.
	set beresp.grace = 60s;
	set beresp.keep = 60s;
	# An answer that may not be kept does not hold up who asks next; Varnish's own rule
	# lets them ask one by one for two minutes.
	if (beresp.status >= 500) {
		set beresp.ttl = 0s;
		set beresp.grace = 0s;
		set beresp.keep = 0s;
	}
}

sub vcl_backend_error {
	if (bereq.is_bgfetch) {
		return (abandon);
	}
	# By its own rule Varnish keeps the error for those who wait, and it would be found
	# before the playlist from before.
	set beresp.ttl = 0s;
	set beresp.grace = 0s;
	set beresp.keep = 0s;
}

sub vcl_deliver {
	if (resp.status >= 500 && req.restarts == 0) {
		return (restart);
	}
	set resp.http.X-Cache = "MISS";
	if (obj.hits > 0) {
		set resp.http.X-Cache = "HIT";
	}
	unset resp.http.Via;
	unset resp.http.X-Varnish;
}
