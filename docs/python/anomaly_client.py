"""Client of the REST API, made of its OpenAPI description by `npm run generate:docs`."""
import json
import urllib.error
import urllib.parse
import urllib.request


class Problem(Exception):
    """A refusal, as RFC 9457 describes it: status, reason, detail."""

    def __init__(self, problem):
        super().__init__(problem.get("detail"))
        self.problem = problem


class Client:
    def __init__(self, url, token=None, timeout=10):
        self.url = url.rstrip("/")
        self.token = token
        self.timeout = timeout

    def detect(self, body):
        """Detect whether one event is abnormal."""
        return self._call("POST", "/api/v1/detect", body=body)

    def detect_batch(self, body):
        """Detect which of many events are abnormal."""
        return self._call("POST", "/api/v1/detect/batch", body=body)

    def get_result(self, event_id):
        """The verdict of a recent event."""
        return self._call("GET", "/api/v1/results/" + _quote(event_id))

    def list_feedback(self, key=None, label=None, limit=None, cursor=None):
        """What people said of events, newest first."""
        return self._call("GET", "/api/v1/feedback", query={"key": key, "label": label, "limit": limit, "cursor": cursor})

    def give_feedback(self, body):
        """Say of an event whether it was an anomaly."""
        return self._call("POST", "/api/v1/feedback", body=body)

    def get_overview(self):
        """What the pipeline is doing at present."""
        return self._call("GET", "/api/v1/overview")

    def get_results(self, key=None, from_=None, to=None, anomalies=None, reason=None, limit=None, cursor=None):
        """Verdicts of the past, the latest first."""
        return self._call("GET", "/api/v1/results", query={"key": key, "from": from_, "to": to, "anomalies": anomalies, "reason": reason, "limit": limit, "cursor": cursor})

    def get_event(self, event_id):
        """An event as it came."""
        return self._call("GET", "/api/v1/results/" + _quote(event_id) + "/event")

    def get_episodes(self, key=None, from_=None, to=None, state=None, limit=None, cursor=None):
        """Episodes as they are now, the one with the latest event first."""
        return self._call("GET", "/api/v1/episodes", query={"key": key, "from": from_, "to": to, "state": state, "limit": limit, "cursor": cursor})

    def get_episode(self, episode_id):
        """An episode as it is now."""
        return self._call("GET", "/api/v1/episodes/" + _quote(episode_id))

    def get_keys(self, from_, to, buckets=None, limit=None, offset=None):
        """Keys that alerted, most alerts first."""
        return self._call("GET", "/api/v1/keys", query={"from": from_, "to": to, "buckets": buckets, "limit": limit, "offset": offset})

    def get_what_if(self, budget, from_, to):
        """What another alert budget would have made of the past."""
        return self._call("GET", "/api/v1/what-if", query={"budget": budget, "from": from_, "to": to})

    def get_series(self, key, from_=None, to=None, points=None):
        """A key's events over time."""
        return self._call("GET", "/api/v1/keys/" + _quote(key) + "/series", query={"from": from_, "to": to, "points": points})

    def get_health(self):
        """Whether the service answers, and what it has to do without."""
        return self._call("GET", "/api/v1/health")

    def _call(self, method, path, query=None, body=None):
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = self.url + path + ("?" + urllib.parse.urlencode(given) if given else "")
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = "Bearer " + self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise Problem(json.load(error)) from None


def _quote(text):
    return urllib.parse.quote(text, safe="")
