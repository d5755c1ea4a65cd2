package awssts

// SessionName is how an agent's session is named.
var SessionName = sessionName
