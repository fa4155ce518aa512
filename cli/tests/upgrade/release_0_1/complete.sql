SELECT complete_campaign($1)
