"""What is known of Leostream's REST interface (paths, fields and types only), and requests and answers held against it."""
