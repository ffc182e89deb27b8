# An endpoint that speaks OpenAI's protocol for embeddings: every text has a vector of eight numbers. Each of its words points
# one of eight ways, so texts of the same words have the same meaning.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;

sub vector {
    my @vector = (0.01) x 8;
    $vector[unpack('%8C*', $_) % 8]++ for split ' ', shift;
    return \@vector;
}

my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die "no port: $!";
$SIG{CHLD} = 'IGNORE';
while (1) {
    my $client = $server->accept or next;
    next if fork;
    my ($length, $key) = (0, '');
    while (my $line = <$client>) {
        $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
        $key = $1 if $line =~ /^authorization:\s*Bearer\s+(\S+)/i;
        last if $line =~ /^\r?\n$/;
    }
    read $client, my $body, $length;
    my @texts = @{ decode_json($body)->{input} };
    my $at = 0;
    my @data = map { { index => $at++, embedding => vector($_) } } @texts;
    my $answer = encode_json({ data => \@data, usage => { total_tokens => scalar @texts } });
    my $status = $key ? '200 OK' : '401 Unauthorized';
    print $client "HTTP/1.1 $status\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ",
        length $answer, "\r\n\r\n$answer";
    close $client;
    exit 0;
}
