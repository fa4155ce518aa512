// Serves aws-ses-v2-local on a free port of the loopback, and prints its address.
require("aws-ses-v2-local")
  .default({ host: "127.0.0.1", port: 0 })
  .then(server => console.log(`http://127.0.0.1:${server.address().port}`));
