# Clients that put and get, and search where SEARCH is set, until /tmp/stop is there; then read again all that was acknowledged.
# Prints a line for each request that failed, one for each pause between two answers of a client that was longer than LONG seconds
# (when it ended, in ms, and how many ms it took), and one for each client at its end.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;
use Time::HiRes qw(time sleep);

use constant LONG => 0.1;

$| = 1;
my ($url, $key, $clients, $pause) = @ENV{qw(URL KEY CLIENTS PAUSE)};
my @words = qw(peanuts walnuts cashews almonds figs dates);
my $json = JSON::PP->new->allow_nonref;

sub post {
    my ($http, $route, $body) = @_;
    my %headers = (Authorization => "Bearer $key", 'Content-Type' => 'application/json');
    return $http->request('POST', "$url$route", { headers => \%headers, content => $json->encode($body) });
}

# Whether a value is there; asked again until there is an answer.
sub holds {
    my ($http, $path) = @_;
    for (1 .. 60) {
        my $answer = post($http, '/v1/get', { agent_id => 'load', path => $path });
        return $json->decode($answer->{content})->{found} if $answer->{success};
        sleep 1;
    }
    return 0;
}

sub work {
    my ($client) = @_;
    my $http = HTTP::Tiny->new(timeout => 30);
    my ($requests, $failed, $answered, @acknowledged) = (0, 0);
    # The same as `post`, and a look at the clock.
    my $ask = sub {
        my $answer = post($http, @_);
        my $now = time;
        printf "gap %d %d\n", $now * 1000, ($now - $answered) * 1000 if $answered and $now - $answered > LONG;
        $answered = $now;
        return $answer;
    };
    until (-e '/tmp/stop') {
        my $path = "/load/$ENV{ROUND}/$client/$requests";
        my %note = (agent_id => 'load', path => $path, value => $requests);
        @note{qw(value searchable)} = ("$words[$requests % @words] $requests", JSON::PP::true) if $ENV{SEARCH};
        my $put = $ask->('/v1/put', \%note);
        push @acknowledged, $path if $put->{success};
        my $get = $ask->('/v1/get', { agent_id => 'load', path => $path });
        my $query = { agent_id => 'load', query => $words[$client % @words] };
        my @search = $ENV{SEARCH} ? $ask->('/v1/search', $query) : ();
        for my $answer ($put, $get, @search) {
            $requests++;
            next if $answer->{success};
            $failed++;
            print 'failed ', int(time), " $answer->{status} ", substr($answer->{content}, 0, 200) =~ s/\s+/ /gr, "\n";
        }
        sleep $pause;
    }
    my $lost = grep { !holds($http, $_) } @acknowledged;
    print "client requests=$requests failed=$failed acknowledged=", scalar @acknowledged, " lost=$lost\n";
}

# The node may come to know of a Service's first pods a moment after they are Ready.
for (1 .. 60) {
    last if HTTP::Tiny->new(timeout => 5)->get("$url/livez")->{success};
    sleep 1;
}

my @children;
for my $client (1 .. $clients) {
    my $child = fork // die "no fork: $!";
    if (!$child) { work($client); exit 0; }
    push @children, $child;
}
waitpid $_, 0 for @children;
